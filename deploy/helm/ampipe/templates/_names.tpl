{{- define "ampipe.labels" -}}
app.kubernetes.io/name: ampipe
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ampipe.common" -}}
app.kubernetes.io/part-of: ampipe
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "ampipe.natsLabels" -}}
app.kubernetes.io/name: nats
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ampipe.natsName" -}}
{{ .Release.Name }}-nats
{{- end }}

{{/* Where processes connect: every server by its name. */}}
{{- define "ampipe.natsURL" -}}
{{- if not .Values.nats.enabled -}}
{{ required "nats.url is needed without nats.enabled" .Values.nats.url }}
{{- else -}}
{{- $name := include "ampipe.natsName" . -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.nats.replicas) -}}
{{- $urls = append $urls (printf "nats://%s-%d.%s:4222" $name $i $name) -}}
{{- end -}}
{{ join "," $urls }}
{{- end -}}
{{- end }}

{{- define "ampipe.natsMonitor" -}}
{{- if .Values.nats.enabled -}}
{{ include "ampipe.natsName" . }}.{{ .Release.Namespace }}.svc.cluster.local:8222
{{- else -}}
{{ required "nats.monitor is needed for autoscaling by KEDA without nats.enabled" .Values.nats.monitor }}
{{- end -}}
{{- end }}

{{/* WAREHOUSE of a sink's name, in variables of the environment and of NATS. */}}
{{- define "ampipe.upper" -}}
{{ . | upper | replace "-" "_" }}
{{- end }}

{{/* The kind of a sink's destination: postgres, redis or delta. */}}
{{- define "ampipe.kind" -}}
{{- if .postgres }}postgres{{ else if .redis }}redis{{ else }}delta{{ end -}}
{{- end }}

{{/* How a sink runs: its own values over sinkDefaults, as YAML. Takes root and name. */}}
{{- define "ampipe.run" -}}
{{- $own := deepCopy (get .root.Values.sinks .name | default dict) -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.sinkDefaults) $own) -}}
{{- end }}

{{/* Every name under "sinks" has to be a sink of the pipeline: a misspelt one is not silent. */}}
{{- define "ampipe.checkSinks" -}}
{{- $known := list -}}
{{- range .Values.pipeline.sinks }}{{ $known = append $known .name }}{{ end -}}
{{- range $name, $_ := .Values.sinks -}}
{{- if not (has $name $known) -}}
{{- fail (printf "sinks.%s: the pipeline has no sink of that name; it has %s" $name (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end }}
