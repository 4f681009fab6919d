{{/* The files of every process. It reads the whole pipeline.yaml and has only its own
     secrets; the files no-… stand for the others'. */}}
{{- define "ampipe.config" -}}
{{- $p := deepCopy .Values.pipeline -}}
{{- $files := dict -}}
{{- if .Values.amp.secret.name -}}
{{- $_ := set $p.source "bearer_file" "${AMP_TOKEN_FILE:-}" -}}
{{- end -}}
{{- $nats := dict "url" (include "ampipe.natsURL" .) "replicas" (int .Values.nats.replicas) -}}
{{- if .Values.nats.secret -}}
{{- $_ := set $nats "user" "${NATS_USER}" -}}
{{- $_ := set $nats "password_file" "/run/secrets/nats/password" -}}
{{- end -}}
{{- $_ := set $p "nats" $nats -}}
{{- range $p.sinks -}}
{{- $run := include "ampipe.run" (dict "root" $ "name" .name) | fromYaml -}}
{{- if $run.secret -}}
{{- if .postgres -}}
{{- $_ := set .postgres "dsn_file" (printf "${%s_DSN_FILE:-/etc/ampipe/no-%s-dsn}" (include "ampipe.upper" .name) .name) -}}
{{- $_ := set $files (printf "no-%s-dsn" .name) (printf "postgres://%s.invalid/not-mounted-here" .name) -}}
{{- else if .redis -}}
{{- $_ := set .redis "url_file" (printf "${%s_URL_FILE:-/etc/ampipe/no-%s-url}" (include "ampipe.upper" .name) .name) -}}
{{- $_ := set $files (printf "no-%s-url" .name) (printf "redis://%s.invalid" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $files "pipeline.yaml" (toYaml $p) -}}
{{- toYaml $files -}}
{{- end }}
