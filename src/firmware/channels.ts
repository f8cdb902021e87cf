export const CHANNELS = ["dev", "beta", "stable"] as const;
/** How far a release has come; each is for more devices than the one before. */
export type Channel = (typeof CHANNELS)[number];
