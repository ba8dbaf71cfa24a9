"""One room over several replicas: machines over a log, or objects around a coordinator."""
