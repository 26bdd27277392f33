"""Networks besides Conv-TasNet, each chosen by one YAML."""
