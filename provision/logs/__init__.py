"""What one wants to see after a failed build: which question a host is asked for it, and what its answer says."""
