"""Pictures of the dashboards, from weeks of played traffic in a real Prometheus."""
