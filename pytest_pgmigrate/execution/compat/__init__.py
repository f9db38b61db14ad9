"""What the application of version n-1 does, tried on version n and again after the down."""
