{{/* One stage. Takes root, component, command, run (its values), and, where it has them,
     args, ready, minReady, env, files (secrets as "name", "secret", "path" and "optional") and spool. */}}
{{- define "ampipe.deployment" -}}
{{- $root := .root -}}
{{- $scaled := ne (dig "autoscaling" "by" "none" .run) "none" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $root.Release.Name }}-{{ .component }}
  labels: {{- include "ampipe.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- include "ampipe.common" $root | nindent 4 }}
spec:
  {{- if not $scaled }}
  replicas: {{ .run.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: {{ .minReady | default 10 }}
  progressDeadlineSeconds: 600
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  selector:
    matchLabels: {{- include "ampipe.labels" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels: {{- include "ampipe.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
        {{- include "ampipe.common" $root | nindent 8 }}
      annotations:
        # A changed pipeline rolls the processes.
        checksum/config: {{ include "ampipe.config" $root | sha256sum }}
    spec:
      serviceAccountName: {{ $root.Release.Name }}-{{ .component }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 30
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      {{- if $root.Values.spread }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "ampipe.labels" $root | nindent 14 }}
          matchLabelKeys: [app.kubernetes.io/component, pod-template-hash]
      {{- end }}
      {{- with .run.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .run.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ printf "%s:%s" $root.Values.image.repository ($root.Values.image.tag | default $root.Chart.AppVersion) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [{{ .command }}]
          args:
            - --config=/etc/ampipe/pipeline.yaml
            - --listen=:9090
            - --log-format=json
            {{- range .args }}
            - {{ . }}
            {{- end }}
          env:
            {{- if $root.Values.nats.secret }}
            - { name: NATS_USER, value: {{ .component }} }
            {{- end }}
            - { name: GOMEMLIMIT, value: {{ .run.goMemLimit }} }
            {{- range .env }}
            - { name: {{ .name }}, value: {{ .value | quote }} }
            {{- end }}
            {{- with .run.env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - { name: metrics, containerPort: 9090 }
          livenessProbe:
            httpGet: { path: /livez, port: metrics }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: { path: {{ .ready | default "/readyz" }}, port: metrics }
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          resources: {{- toYaml .run.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
          volumeMounts:
            - { name: config, mountPath: /etc/ampipe, readOnly: true }
            {{- if $root.Values.nats.secret }}
            - { name: nats, mountPath: /run/secrets/nats, readOnly: true }
            {{- end }}
            {{- range .files }}
            - { name: {{ .name }}, mountPath: /run/secrets/{{ .name }}, readOnly: true }
            {{- end }}
            {{- if .spool }}
            - { name: spool, mountPath: /tmp }
            {{- end }}
      volumes:
        - name: config
          configMap: { name: {{ $root.Release.Name }} }
        {{- if $root.Values.nats.secret }}
        - name: nats
          secret:
            secretName: {{ $root.Values.nats.secret }}
            defaultMode: 0440
            items: [{ key: {{ .component }}, path: password }]
        {{- end }}
        {{- range .files }}
        - name: {{ .name }}
          secret:
            secretName: {{ .secret.name }}
            {{- if .optional }}
            optional: true # the service account may do
            {{- end }}
            defaultMode: 0440
            items: [{ key: {{ .secret.key }}, path: {{ .path }} }]
        {{- end }}
        {{- if .spool }}
        - name: spool
          emptyDir: { sizeLimit: {{ .spool }} }
        {{- end }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $root.Release.Name }}-{{ .component }}
  labels: {{- include "ampipe.labels" $root | nindent 4 }}
    {{- include "ampipe.common" $root | nindent 4 }}
  {{- with .run.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- if $root.Values.disruptionBudgets }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $root.Release.Name }}-{{ .component }}
  labels: {{- include "ampipe.labels" $root | nindent 4 }}
    {{- include "ampipe.common" $root | nindent 4 }}
spec:
  maxUnavailable: 1
  # One that waits for something does so elsewhere as well.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "ampipe.labels" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end }}
