"""How a training ends well: losses, schedules, averages of weights, stopping."""
