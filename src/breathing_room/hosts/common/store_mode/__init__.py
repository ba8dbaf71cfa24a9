"""Store mode: rooms that exist only in a store, with many writers and a controller that runs periodically."""
