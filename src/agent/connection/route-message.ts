import { messageOf } from "../../kernel/index.ts";
import { decodePayload } from "../../protocol/index.ts";

export interface MessageReceivers {
  update(message: unknown): Promise<void>;
  trust(message: unknown): Promise<void>;
  desired(message: unknown): Promise<void>;
  command(message: unknown): Promise<void>;
  certificate(topic: string, message: unknown): Promise<void> | undefined;
  unreadable(message: string): void;
}

/** Hands a message to the part that it is for; resolves when that has it safely. */
export async function routeMessage(
  receivers: MessageReceivers,
  topic: string,
  payload: Uint8Array,
): Promise<void> {
  let message: unknown;
  try {
    message = decodePayload(payload);
  } catch (error) {
    // Acknowledged all the same: it would not get better by being sent again.
    receivers.unreadable(`a message on ${topic} cannot be read: ${messageOf(error)}`);
    return;
  }
  if (topic === "update") await receivers.update(message);
  else if (topic === "trust") await receivers.trust(message);
  else if (topic === "desired") await receivers.desired(message);
  else if (topic === "commands") await receivers.command(message);
  else if (topic.startsWith("certificate/")) await receivers.certificate(topic, message);
}
