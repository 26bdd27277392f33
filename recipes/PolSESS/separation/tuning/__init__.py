"""Hyper-parameter search: trials run train.py, Optuna chooses and prunes."""

try:
    import optuna  # noqa: F401
except ImportError as error:
    raise ImportError("tune.py needs Optuna: pip install optuna") from error
