"""What others would run for the same job: every message of a client goes to everybody, each as its project shows it."""
