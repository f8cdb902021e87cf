import type { Static } from "typebox";
import * as Type from "typebox";

const Version = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** Of what a device claims to hold: far from where a further step could not be counted any more. */
const HeldVersion = Type.Integer({ minimum: 0, maximum: 2 ** 40 });
const Document = Type.Record(Type.String(), Type.Unknown());

/**
 * What a device ought to be, on `desired`. `from` says to which version the patch (RFC 7396) is to be
 * applied; from 0 it is the whole document, and from `version` itself there is nothing new.
 */
export const DesiredMessage = Type.Object({
  version: Version,
  from: Version,
  patch: Document,
  /** The last version of `reported` that the platform holds: a device that is elsewhere tells all. */
  reportedVersion: Version,
});
export type DesiredMessage = Static<typeof DesiredMessage>;

/** What a device says that it is, on `reported`; from 0 the patch is the whole document. */
export const ReportedMessage = Type.Object({
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  from: Version,
  patch: Document,
  /** The newest desired version that the device holds: behind ours, it needs the whole document. */
  desiredVersion: HeldVersion,
  /** The one that it lives by. */
  appliedVersion: HeldVersion,
  /** Why it does not live by a newer one. */
  fault: Type.Optional(
    Type.Object({ version: Version, message: Type.String({ maxLength: 1_024 }) }),
  ),
});
export type ReportedMessage = Static<typeof ReportedMessage>;
