{{/* The servers' configuration, as in deploy/nats: permissions.conf has a block for each
     role, and that of the sink "warehouse" is the pattern for every sink. */}}
{{- define "ampipe.natsConfig" -}}
{{- $permissions := .Files.Get "files/permissions.conf" -}}
{{- $pattern := regexFind "(?s)SINK_WAREHOUSE_MAY \\{.*?\\n\\}\\n" $permissions -}}
{{- $permissions = regexReplaceAll "(?s)SINK_[A-Z]+_MAY \\{.*?\\n\\}\\n+" $permissions "" -}}
{{- $users := list -}}
{{- range $role := list "planner" "extractor" "operator" "monitoring" -}}
{{- $users = append $users (printf "{ user: %s, password: $%s_PASSWORD, permissions: $%s_MAY }" $role (upper $role) (upper $role)) -}}
{{- end -}}
{{- range .Values.pipeline.sinks -}}
{{- $upper := include "ampipe.upper" .name -}}
{{- $permissions = printf "%s\n%s" $permissions ($pattern | replace "warehouse" .name | replace "WAREHOUSE" $upper) -}}
{{- $users = append $users (printf "{ user: sink-%s, password: $SINK_%s_PASSWORD, permissions: $SINK_%s_MAY }" .name $upper $upper) -}}
{{- end -}}
limits.conf: |
{{ .Files.Get "files/limits.conf" | indent 2 }}
permissions.conf: |
{{ $permissions | indent 2 }}
accounts.conf: |
  include ./permissions.conf
  include ./passwords.conf
  accounts {
    AMPIPE {
      jetstream { max_bytes_required: true }
      users: [
        {{- range $users }}
        {{ . }}
        {{- end }}
      ]
    }
    SYS {}
  }
  system_account: SYS
kubernetes.conf: |
  server_name: $NATS_NAME
  listen: "0.0.0.0:4222"
  include ./limits.conf
  # For the probes and for KEDA. It has no password: the network policies say who reaches it.
  http: "0.0.0.0:8222"
  include ./accounts.conf
  jetstream {
    store_dir: /data
    sync_interval: always
    max_file_store: {{ .Values.nats.storage.maxFileStore }}
    max_memory_store: 64MB
  }
  {{- if gt (int .Values.nats.replicas) 1 }}
  cluster {
    name: ampipe
    listen: "0.0.0.0:6222"
    include ./routes.conf
  }
  {{- end }}
{{- end }}
