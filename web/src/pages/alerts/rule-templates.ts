/** Rules to begin with, one for each thing that a rule can look at. */
export const RULE_TEMPLATES: { label: string; text: string }[] = [
  {
    label: "A metric of devices",
    text: `name: Too hot
severity: warning
source:
  kind: metric
  metric: temperature
  aggregate: mean
  windowSeconds: 300
condition:
  operator: ">"
  threshold: 80
  clearThreshold: 75
forSeconds: 300
annotations:
  summary: Look at the fan first
`,
  },
  {
    label: "Devices that a query finds",
    text: `name: Old firmware
severity: info
source:
  kind: devices
  query: firmware.version < "2.0.0"
forSeconds: 3600
`,
  },
  {
    label: "Share of the fleet",
    text: `name: Many offline
severity: critical
source:
  kind: devices
  query: presence = "offline"
  per: fleet
  measure: share
condition:
  operator: ">"
  threshold: 0.05
  clearThreshold: 0.02
forSeconds: 60
`,
  },
  {
    label: "Log lines",
    text: `name: Checksum errors
severity: warning
source:
  kind: logs
  words: checksum
  level: error
  windowSeconds: 600
condition:
  operator: ">="
  threshold: 3
`,
  },
  {
    label: "Certificates about to end",
    text: `name: Certificate ends soon
severity: warning
source:
  kind: certificates
condition:
  operator: "<"
  threshold: 14
`,
  },
  {
    label: "Rollouts that stand still",
    text: `name: Rollout paused for an hour
severity: warning
source:
  kind: rollouts
  states: [paused]
condition:
  operator: ">="
  threshold: 3600
`,
  },
  {
    label: "A quota",
    text: `name: Devices nearly full
severity: info
source:
  kind: quota
  resource: devices
condition:
  operator: ">"
  threshold: 90
`,
  },
  {
    label: "Anomalies",
    text: `name: Many anomalies
severity: warning
source:
  kind: anomalies
  per: fleet
condition:
  operator: ">"
  threshold: 10
`,
  },
  {
    label: "The platform itself",
    text: `name: Platform unwell
severity: critical
source:
  kind: platform
  check: any
forSeconds: 30
`,
  },
];
