import { Type } from "typebox";
import { DeviceId, FleetQueryText, nullable, strict, Timestamp, view } from "./common.ts";

const Document = Type.Record(Type.String({ maxLength: 256 }), Type.Unknown());

export const TwinView = view("Twin", {
  desired: Document,
  desiredVersion: Type.Integer({ description: "0 before anybody has wanted anything" }),
  desiredAt: nullable(Timestamp),
  desiredBy: nullable(Type.String()),
  reported: Document,
  reportedVersion: Type.Integer({ description: "The device's own count" }),
  reportedAt: nullable(Timestamp),
  appliedVersion: Type.Integer({ description: "The desired version that the device lives by" }),
  fault: nullable(
    Type.Object(
      { version: Type.Integer(), message: Type.String() },
      { description: "Why it does not live by a newer one" },
    ),
  ),
});

export const PatchTwinBody = strict({
  desired: Type.Record(Type.String({ maxLength: 256 }), Type.Unknown(), {
    description: "JSON merge patch (RFC 7396): null removes a property",
  }),
});

export const ReplaceTwinBody = strict({ desired: Document });

export const PatchTwinsBody = strict({
  devices: Type.Optional(Type.Array(DeviceId, { minItems: 1, maxItems: 1_000 })),
  query: Type.Optional(FleetQueryText),
  ...PatchTwinBody.properties,
});

export const PatchedTwins = view("PatchedTwins", {
  devices: Type.Integer({ description: "Devices that were meant" }),
  changed: Type.Integer({ description: "Those of them that ought to be something else now" }),
});
