"""The programs; `train.py`, `evaluate.py` ... at the top are their doors."""
