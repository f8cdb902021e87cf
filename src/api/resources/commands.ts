import { type Static, Type } from "typebox";
import type { Commands, NewCommand } from "../../commands/index.ts";
import { AppError } from "../../kernel/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import {
  CommandPage,
  CommandStatus,
  CommandView,
  SendCommandBody,
  SentCommands,
} from "../schemas/commands.ts";
import {
  answers,
  DeviceId,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  Uuid,
} from "../schemas/common.ts";
import type { Api } from "../types.ts";
import { commandBatchRoutes } from "./command-batches.ts";

export interface CommandsDeps {
  commands: Pick<Commands, "order" | "list" | "get" | "cancel" | "batches">;
}

const tags = ["commands"];
const DEFAULT_TTL_SECONDS = 3_600;
const CommandParams = strict({ tenant: TenantId, command: Uuid });

/** Commands to devices; each carries the trace of the request that sent it. */
export function commandRoutes(api: Api, deps: CommandsDeps): void {
  const { commands } = deps;
  api.get(
    "/tenants/:tenant/commands",
    {
      config: { access: "commands.read" },
      schema: {
        operationId: "listCommands",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          device: Type.Optional(DeviceId),
          status: Type.Optional(CommandStatus),
        }),
        response: answers(200, CommandPage),
      },
    },
    async (request) => {
      const { device: deviceId, status, cursor, limit } = request.query;
      const filter = { deviceId, status, limit, cursor: decodeCursor("commands", cursor) };
      return wrapPage("commands", await commands.list(tenantOf(request), filter));
    },
  );
  sendRoute(api, deps);
  api.get(
    "/tenants/:tenant/commands/:command",
    {
      config: { access: "commands.read" },
      schema: {
        operationId: "getCommand",
        tags,
        params: CommandParams,
        response: answers(200, CommandView),
      },
    },
    async (request) => commands.get(tenantOf(request), request.params.command),
  );
  api.post(
    "/tenants/:tenant/commands/:command/cancel",
    {
      config: { access: "commands.send", action: "command.cancel" },
      schema: {
        operationId: "cancelCommand",
        tags,
        params: CommandParams,
        response: answers(200, CommandView),
      },
    },
    async (request) => commands.cancel(tenantOf(request), request.params.command, actorOf(request)),
  );
  commandBatchRoutes(api, deps);
}

function sendRoute(api: Api, { commands }: CommandsDeps): void {
  api.post(
    "/tenants/:tenant/commands",
    {
      config: { access: "commands.send", action: "command.send" },
      schema: {
        operationId: "sendCommand",
        description: "To one device, or in a batch to those that are named, grouped or found",
        tags,
        params: TenantParams,
        body: SendCommandBody,
        response: answers(201, SentCommands),
      },
    },
    async (request, reply) => {
      const command = commandOf(request.body);
      const actor = actorOf(request);
      const sent = await commands.order(tenantOf(request), command, actor, request.traceparent);
      return reply.code(201).send(sent);
    },
  );
}

function commandOf(body: Static<typeof SendCommandBody>): NewCommand {
  const { devices, query, group, name, args, ttlSeconds, retry, ...policies } = body;
  if ([devices, query, group].filter((target) => target !== undefined).length !== 1) {
    throw new AppError("invalid-request", "give one of devices, query and group");
  }
  return {
    ...(devices ? { deviceIds: devices } : {}),
    ...(query === undefined ? {} : { query }),
    ...(group === undefined ? {} : { group }),
    name,
    args: args ?? {},
    ttlSeconds: ttlSeconds ?? DEFAULT_TTL_SECONDS,
    ...policies,
    ...(retry
      ? {
          retry: {
            attempts: retry.attempts,
            delaySeconds: retry.delaySeconds ?? 0,
            on: retry.on ?? ["failed"],
          },
        }
      : {}),
  };
}
