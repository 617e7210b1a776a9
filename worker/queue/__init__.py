"""The Celery application: broker, consumer, checked messages, heartbeat, readiness."""
