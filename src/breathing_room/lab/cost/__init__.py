"""What a room costs: prices with their sources, operations as formulas, and the bill.

``formula.py`` has numbers that remember how they were computed; ``book.py`` reads the prices; ``model.py`` has the crowd and the bill;
``strategies.py`` the ways to run a room; ``document.py`` the planning document's claims; ``budget.py`` finds the best within a sum; ``chart.py``
draws; ``counted.py`` prices what a running server counted.
"""
