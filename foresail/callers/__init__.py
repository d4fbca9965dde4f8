"""Who calls a model: agents and CronJobs."""
