// Package observe tests deploy/prometheus and deploy/grafana: real pipelines are
// scraped, and every expression is evaluated by Prometheus' own engine.
package observe
