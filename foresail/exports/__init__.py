"""What people can get out of a monitoring system, as traffic to replay: files and folders."""
