{{/* Autoscaling of one stage. Takes root, component, scale (its values), threshold, and
     what is counted: stream and consumer for KEDA, metric and labels for an HPA. */}}
{{- define "ampipe.scale" -}}
{{- $name := printf "%s-%s" .root.Release.Name .component -}}
{{- if eq .scale.by "keda" }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $name }}
  labels: {{- include "ampipe.labels" .root | nindent 4 }}
    {{- include "ampipe.common" .root | nindent 4 }}
spec:
  scaleTargetRef: { name: {{ $name }} }
  pollingInterval: 15
  minReplicaCount: {{ .scale.min }}
  maxReplicaCount: {{ .scale.max }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: 300
          policies: [{ type: Pods, value: 1, periodSeconds: 60 }]
  triggers:
    - type: nats-jetstream
      metadata:
        natsServerMonitoringEndpoint: {{ include "ampipe.natsMonitor" .root }}
        account: {{ .root.Values.nats.account | quote }}
        stream: {{ .stream }}
        consumer: {{ .consumer }}
        lagThreshold: {{ .threshold | toString | quote }}
{{- else if eq .scale.by "hpa" }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{- include "ampipe.labels" .root | nindent 4 }}
    {{- include "ampipe.common" .root | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicas: {{ .scale.min }}
  maxReplicas: {{ .scale.max }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
      policies: [{ type: Pods, value: 1, periodSeconds: 60 }]
  metrics:
    - type: External
      external:
        metric:
          name: {{ .metric }}
          selector: { matchLabels: {{ toJson .labels }} }
        target: { type: AverageValue, averageValue: {{ .threshold | toString | quote }} }
{{- end }}
{{- end }}
