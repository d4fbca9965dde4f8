"""Settings of the plan and rules that people use, run beside the real one on the same demand.

Each runs against a fluid model of the fleet, and books keep what it would have cost and how late it
would have been. The cheapest setting that kept the objective becomes the setting in force.
"""
