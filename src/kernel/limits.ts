/** Every bound that input can meet, in one place. Sizes in bytes, times in milliseconds. */
export const LIMITS = {
  /** One MQTT packet from a device, headers included. */
  mqttPacketBytes: 256 * 1024,
  /** Points in one telemetry message, all metrics counted. */
  telemetryPointsPerMessage: 5_000,
  /** Metrics in one telemetry sample. */
  telemetryMetricsPerSample: 200,
  metricNameLength: 128,
  /** A value that is a word. */
  telemetryTextLength: 256,
  /** Metrics that one product declares. */
  metricsPerProduct: 500,
  /** Lines in one log message. */
  logLinesPerMessage: 1_000,
  logMessageLength: 16_384,
  logAttributes: 50,
  /** How far ahead of our clock a device's timestamp may be. */
  futureToleranceMs: 10 * 60_000,
  /** Oldest timestamp that is accepted (2000-01-01): earlier means that the device has no clock. */
  oldestTimestampMs: 946_684_800_000,
  commandArgsBytes: 64 * 1024,
  commandResultBytes: 64 * 1024,
  commandsQueuedPerDevice: 1_000,
  /** Commands of one tenant that have not come to an end. */
  commandsOpenPerTenant: 200_000,
  /** The end of what a device has written while a command ran, and one piece of it. */
  commandStreamLength: 64 * 1024,
  commandStreamPieceLength: 16 * 1024,
  /** Each of the two documents of a twin. */
  twinBytes: 64 * 1024,
  /** Devices whose twins one request changes. */
  twinsPerRequest: 1_000,
  imageBytes: 2 * 1024 ** 3,
  manifestBytes: 256 * 1024,
  /** Uploads of one tenant that have not been published, and the bytes that they announce. */
  uploadsPerTenant: 32,
  uploadBytesPerTenant: 16 * 1024 ** 3,
  uploadMetadataBytes: 4 * 1024,
  /** A bill of materials or a provenance statement beside a release. */
  releaseDocumentBytes: 16 * 1024 ** 2,
  jsonDepth: 16,
  pageSize: 500,
  queryLength: 2_000,
  queryTerms: 50,
  rolloutStages: 20,
  tagsPerDevice: 50,
  certificateRequestBytes: 16 * 1024,
} as const;

/** Messages that come in do not fill the disk to its end: a database that cannot write falls over. */
export const RESERVED_DISK_BYTES = 128 * 1024 ** 2;
