{{- define "cocm.labels" -}}
{{ include "cocm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "cocm.selector" -}}
app.kubernetes.io/name: cocm-registry
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cocm.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "cocm.secret" -}}
{{ .Values.existingSecret | default .Release.Name }}
{{- end -}}

{{- /* Everything that the service and the migration have in common. */ -}}
{{- define "cocm.pod" -}}
# Kubernetes would invent COCM_* variables from the names of Services.
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .Values.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "cocm.container" -}}
image: {{ include "cocm.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - { name: COCM_LISTEN, value: "0.0.0.0:8080" }
  - { name: COCM_ADMIN_LISTEN, value: "0.0.0.0:9090" }
  - { name: COCM_DATA_DIR, value: /var/lib/cocm }
{{- if or .Values.existingSecret .Values.secrets }}
envFrom:
  - secretRef: { name: {{ include "cocm.secret" . }} }
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}
