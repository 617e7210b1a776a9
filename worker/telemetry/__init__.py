"""What operators see: log lines, seconds by stage, metrics and their exporter."""
