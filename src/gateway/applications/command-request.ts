import { type Static, Type } from "typebox";
import type { NewCommand } from "../../commands/index.ts";
import { AppError } from "../../kernel/index.ts";
import { checkMessage, decodePayload } from "../../protocol/index.ts";

/** What an application publishes to a device's `commands`. */
const CommandRequest = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 128 }),
    args: Type.Optional(Type.Unknown()),
    ttlSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);

const DEFAULT_TTL_SECONDS = 3_600;

/**
 * The command that a message orders. How long it holds is said by the message, or by its Message
 * Expiry Interval, or is an hour. Throws `message-invalid`.
 */
export function readCommandRequest(
  deviceId: string,
  message: { payload: Uint8Array; contentType: string | undefined; expirySeconds?: number },
): NewCommand {
  const body = decodePayload(message.payload, message.contentType);
  checkMessage(CommandRequest, body);
  const { name, args, ttlSeconds } = body as Static<typeof CommandRequest>;
  const seconds = ttlSeconds ?? message.expirySeconds ?? DEFAULT_TTL_SECONDS;
  if (seconds < 1) throw new AppError("message-invalid", "the command would have expired already");
  return { deviceIds: [deviceId], name, args: args ?? {}, ttlSeconds: seconds };
}
