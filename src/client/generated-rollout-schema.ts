// Written by tools/build-openapi.ts.
export const ROLLOUT_FILE_SCHEMA = {
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "https://vautn.dev/schema/rollout.schema.json",
  "title": "Vautn rollout",
  "type": "object",
  "properties": {
    "name": {
      "type": "string",
      "minLength": 1,
      "maxLength": 128
    },
    "release": {
      "type": "string",
      "description": "PRODUCT@VERSION, or the release's id"
    },
    "releaseId": {
      "type": "string",
      "description": "The release's id"
    },
    "query": {
      "type": "string",
      "description": "Fleet query; every device that it fits without one"
    },
    "policy": {
      "type": "object",
      "properties": {
        "stages": {
          "type": "array",
          "items": {
            "type": "object",
            "required": [
              "name"
            ],
            "properties": {
              "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 64
              },
              "devices": {
                "type": "integer",
                "minimum": 1
              },
              "percent": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 100
              },
              "minSoakSeconds": {
                "type": "number",
                "minimum": 0,
                "maximum": 31536000
              },
              "rampSeconds": {
                "type": "number",
                "minimum": 0,
                "maximum": 31536000
              }
            },
            "additionalProperties": false
          },
          "minItems": 1,
          "maxItems": 20
        },
        "minSoakSeconds": {
          "type": "number",
          "minimum": 0,
          "maximum": 31536000
        },
        "maxSoakSeconds": {
          "anyOf": [
            {
              "type": "number",
              "minimum": 0,
              "maximum": 31536000
            },
            {
              "type": "null"
            }
          ]
        },
        "holdbackPercent": {
          "type": "number",
          "minimum": 0,
          "maximum": 50
        },
        "order": {
          "enum": [
            "random",
            "least-critical-first",
            "one-per-site-first"
          ]
        },
        "criticalityTag": {
          "type": "string",
          "pattern": "^[A-Za-z0-9_.-]{1,64}$"
        },
        "siteTag": {
          "type": "string",
          "pattern": "^[A-Za-z0-9_.-]{1,64}$"
        },
        "disruption": {
          "type": "object",
          "required": [
            "atMost"
          ],
          "properties": {
            "tag": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,64}$"
            },
            "atMost": {
              "type": "integer",
              "minimum": 1,
              "maximum": 100000
            }
          },
          "additionalProperties": false
        },
        "window": {
          "type": "object",
          "required": [
            "from",
            "to"
          ],
          "properties": {
            "from": {
              "type": "string",
              "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"
            },
            "to": {
              "type": "string",
              "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"
            },
            "days": {
              "type": "array",
              "items": {
                "enum": [
                  "mon",
                  "tue",
                  "wed",
                  "thu",
                  "fri",
                  "sat",
                  "sun"
                ]
              },
              "minItems": 1,
              "maxItems": 7,
              "uniqueItems": true
            },
            "zoneTag": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,64}$"
            },
            "timeZone": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
            }
          },
          "additionalProperties": false
        },
        "maxConcurrent": {
          "type": "integer",
          "minimum": 1,
          "maximum": 1000000
        },
        "downloads": {
          "type": "object",
          "properties": {
            "concurrent": {
              "type": "integer",
              "minimum": 1,
              "maximum": 100000
            },
            "bytesPerSecond": {
              "type": "integer",
              "minimum": 1024,
              "maximum": 1000000000000
            }
          },
          "additionalProperties": false
        },
        "priority": {
          "type": "integer",
          "minimum": -1000,
          "maximum": 1000
        },
        "steppingStones": {
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 64
          },
          "maxItems": 10,
          "uniqueItems": true
        },
        "startAt": {
          "type": "string",
          "format": "date-time"
        },
        "dynamic": {
          "type": "boolean"
        },
        "retry": {
          "type": "object",
          "required": [
            "attempts",
            "afterSeconds"
          ],
          "properties": {
            "attempts": {
              "type": "integer",
              "minimum": 1,
              "maximum": 10
            },
            "afterSeconds": {
              "type": "number",
              "minimum": 1,
              "maximum": 2592000
            }
          },
          "additionalProperties": false
        },
        "penalty": {
          "type": "object",
          "required": [
            "failures",
            "days"
          ],
          "properties": {
            "failures": {
              "type": "integer",
              "minimum": 1,
              "maximum": 100
            },
            "days": {
              "type": "integer",
              "minimum": 1,
              "maximum": 365
            }
          },
          "additionalProperties": false
        },
        "deadlines": {
          "type": "object",
          "properties": {
            "offered": {
              "type": "integer",
              "minimum": 1,
              "maximum": 31536000000
            },
            "downloading": {
              "type": "integer",
              "minimum": 1,
              "maximum": 31536000000
            },
            "installing": {
              "type": "integer",
              "minimum": 1,
              "maximum": 31536000000
            },
            "rebooting": {
              "type": "integer",
              "minimum": 1,
              "maximum": 31536000000
            },
            "confirming": {
              "type": "integer",
              "minimum": 1,
              "maximum": 31536000000
            }
          }
        },
        "onBreach": {
          "anyOf": [
            {
              "type": "string",
              "enum": [
                "pause"
              ]
            },
            {
              "type": "string",
              "enum": [
                "rollback"
              ]
            },
            {
              "type": "string",
              "enum": [
                "rollback-stage"
              ]
            }
          ]
        },
        "rollbackAutomatically": {
          "type": "boolean"
        },
        "requireSecureBoot": {
          "type": "boolean"
        },
        "askAfterSeconds": {
          "type": "number",
          "minimum": 0,
          "maximum": 31536000
        },
        "evaluateEverySeconds": {
          "type": "number",
          "minimum": 0.1,
          "maximum": 86400
        },
        "alpha": {
          "type": "number",
          "exclusiveMinimum": 0,
          "maximum": 0.5
        },
        "promoteLikelihoodRatio": {
          "type": "number",
          "exclusiveMinimum": 0,
          "exclusiveMaximum": 1
        },
        "rateRatio": {
          "type": "number",
          "exclusiveMinimum": 1,
          "maximum": 100
        },
        "canaryCrashLimit": {
          "type": "integer",
          "minimum": 1
        },
        "toleratedFailureShare": {
          "type": "number",
          "exclusiveMinimum": 0,
          "exclusiveMaximum": 1
        },
        "metrics": {
          "type": "array",
          "items": {
            "type": "object",
            "required": [
              "metric",
              "worse"
            ],
            "properties": {
              "metric": {
                "type": "string",
                "pattern": "^(telemetry|query)\\.[A-Za-z0-9_.:/-]{1,128}$"
              },
              "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": 2000
              },
              "aggregate": {
                "enum": [
                  "mean",
                  "min",
                  "max",
                  "p50",
                  "p95"
                ]
              },
              "source": {
                "enum": [
                  "points",
                  "rollups"
                ]
              },
              "transform": {
                "enum": [
                  "increase",
                  "rate",
                  "delta"
                ]
              },
              "worse": {
                "enum": [
                  "higher",
                  "lower"
                ]
              },
              "toleranceShare": {
                "type": "number",
                "minimum": 0,
                "maximum": 100
              },
              "tolerance": {
                "type": "number",
                "minimum": 0
              },
              "windowSeconds": {
                "type": "number",
                "minimum": 1,
                "maximum": 604800
              },
              "minimumPairs": {
                "type": "integer",
                "minimum": 0,
                "maximum": 100000
              }
            },
            "additionalProperties": false
          },
          "maxItems": 10
        },
        "thresholds": {
          "type": "array",
          "items": {
            "type": "object",
            "required": [
              "metric"
            ],
            "properties": {
              "metric": {
                "type": "string",
                "pattern": "^(crash-rate|error-log-rate|offline-share|telemetry\\.[A-Za-z0-9_.:/-]{1,128})$"
              },
              "aggregate": {
                "enum": [
                  "mean",
                  "min",
                  "max",
                  "p50",
                  "p95"
                ]
              },
              "above": {
                "type": "number"
              },
              "growsBy": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1000
              },
              "minimumDeviceHours": {
                "type": "number",
                "minimum": 0
              },
              "minimumDevices": {
                "type": "integer",
                "minimum": 1
              }
            },
            "additionalProperties": false
          },
          "maxItems": 20
        }
      },
      "additionalProperties": false
    }
  },
  "additionalProperties": false
};
