{{- define "ampipe.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels: {{- include "ampipe.labels" .root | nindent 4 }}
    {{- include "ampipe.common" .root | nindent 4 }}
spec:
{{- end }}

{{- define "ampipe.dns" -}}
- to:
    - namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } }
      podSelector: { matchLabels: { k8s-app: kube-dns } }
    - ipBlock: { cidr: 169.254.20.10/32 } # NodeLocal DNSCache
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end }}

{{- define "ampipe.blocks" -}}
{{- range . }}
- ipBlock: { cidr: {{ . }} }
{{- end }}
{{- end }}
