"""What a room costs: prices with their sources, operations as formulas, and the bill.

``formula.py`` has numbers that remember how they were computed; ``book.py`` reads the prices; ``crowd.py``
has the crowd, ``strategy.py`` what a strategy is made of, ``strategies`` the ways to run a room, and
``model.py`` the bill. ``document.py`` checks the planning document's claims, ``budget.py`` finds the best
within a sum, ``chart.py`` draws, ``counted.py`` prices what a running server counted.
"""
