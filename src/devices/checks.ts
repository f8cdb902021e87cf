import { AppError, LIMITS } from "../kernel/index.ts";
import { storableText } from "../kernel/storable.ts";
import { isDeviceId } from "../protocol/index.ts";
import type { DevicePatch, NewDevice } from "./types.ts";

const TAG_KEY = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
const GROUP_NAME = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$/;
const TAG_VALUE_LENGTH = 256;
const NAME_LENGTH = 128;

/** Throws `invalid-request` naming the field that is wrong. */
export function checkNewDevice(device: NewDevice): void {
  if (!isDeviceId(device.id)) throw invalid("id", "is no device id");
  if (device.product.length === 0) throw invalid("product", "is empty");
  checkName("product", device.product);
  checkName("hardwareRevision", device.hardwareRevision);
  checkPatch(device);
}

/** Throws `invalid-request` naming the field that is wrong. */
export function checkPatch(patch: DevicePatch): void {
  if (patch.region !== undefined) checkName("region", patch.region);
  if (patch.tags === undefined) return;
  const tags = Object.entries(patch.tags);
  if (tags.length > LIMITS.tagsPerDevice) {
    throw invalid("tags", `are more than ${LIMITS.tagsPerDevice}`);
  }
  for (const [key, value] of tags) {
    if (!TAG_KEY.test(key)) throw invalid(`tags.${key}`, "is no tag name");
    if (typeof value !== "string" || value.length > TAG_VALUE_LENGTH) {
      throw invalid(`tags.${key}`, `must be a text of at most ${TAG_VALUE_LENGTH} characters`);
    }
    if (storableText(value) !== value) throw invalid(`tags.${key}`, "holds what is no text");
  }
}

export function checkGroupName(name: string): void {
  if (!GROUP_NAME.test(name)) throw invalid("name", "must be 1 to 63 letters, digits, . _ -");
}

function checkName(field: string, value: string): void {
  if (value.length > NAME_LENGTH || storableText(value) !== value) {
    throw invalid(field, `must be a text of at most ${NAME_LENGTH} characters`);
  }
}

function invalid(field: string, why: string): AppError {
  return new AppError("invalid-request", `${field} ${why}`, { field });
}
