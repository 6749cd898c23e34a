{{/* The name of every resource: that of the release, with the chart's where that says nothing of it. */}}
{{- define "breakeven.name" -}}
{{- if contains "breakeven" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-breakeven" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "breakeven.selector" -}}
app.kubernetes.io/name: breakeven
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "breakeven.labels" -}}
{{ include "breakeven.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: breakeven
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "breakeven.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "breakeven.name" .) -}}
{{- end }}

{{- define "breakeven.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The port in the config. */}}
{{- define "breakeven.port" -}}
{{- (.Values.config.server).port | default 8080 -}}
{{- end }}

{{/* Whether a kind of the Prometheus operator is wanted: not empty for yes. Takes the chart and the kind. */}}
{{- define "breakeven.monitored" -}}
{{- $chart := index . 0 -}}
{{- $enabled := $chart.Values.monitoring.enabled | toString -}}
{{- $known := $chart.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (index . 1)) -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") $known) -}}
yes
{{- end -}}
{{- end }}

{{/* Refuses a config with which no pod becomes ready. Keys of it that come from the environment are not looked into. */}}
{{- define "breakeven.check" -}}
{{- $given := concat (keys .Values.env) (keys .Values.secretEnv) -}}
{{- $server := .Values.config.server | default dict -}}
{{- if and (has ($server.host | default "127.0.0.1") (list "127.0.0.1" "localhost" "::1")) (not (has "BREAKEVEN__SERVER__HOST" $given)) -}}
{{- fail "config.server.host: 127.0.0.1, its default, is not reached from outside of the pod; write server: {host: 0.0.0.0}" -}}
{{- end -}}
{{- $auth := .Values.config.auth | default dict -}}
{{- if not (or $auth.keys $auth.keys_file (contains "BREAKEVEN__AUTH" (join " " $given))) -}}
{{- fail "config.auth.keys: empty, and then the gateway answers programs on its own machine only; add a key (breakeven key new NAME)" -}}
{{- end -}}
{{- range $section := list "teacher" "student" "candidate" -}}
{{- with (index $.Values.config $section | default dict).api_key_env -}}
{{- if not (has . $given) -}}
{{- fail (printf "config.%s.api_key_env: names %s, which is not in secretEnv; add %s: {secret: …, key: …}" $section . .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
