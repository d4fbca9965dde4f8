"""One round of planning nodes: a reading and what is remembered, to a plan and what to remember."""
