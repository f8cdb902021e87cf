import { Type } from "typebox";
import type { Commands } from "../../commands/index.ts";
import { AppError } from "../../kernel/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import {
  answers,
  DeviceId,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  Uuid,
} from "../schemas/common.ts";
import {
  CommandList,
  CommandPage,
  CommandStatus,
  CommandView,
  SendCommandBody,
} from "../schemas/devices.ts";
import type { Api } from "../types.ts";

export interface CommandsDeps {
  commands: Pick<Commands, "send" | "list" | "get" | "cancel">;
}

const tags = ["commands"];
const DEFAULT_TTL_SECONDS = 3_600;
const CommandParams = strict({ tenant: TenantId, command: Uuid });

/** Commands to devices; each carries the trace of the request that sent it. */
export function commandRoutes(api: Api, { commands }: CommandsDeps): void {
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

  api.post(
    "/tenants/:tenant/commands",
    {
      config: { access: "commands.send", action: "command.send" },
      schema: {
        operationId: "sendCommand",
        tags,
        params: TenantParams,
        body: SendCommandBody,
        response: answers(201, CommandList),
      },
    },
    async (request, reply) => {
      const { devices, query, name, args, ttlSeconds } = request.body;
      if ((devices === undefined) === (query === undefined)) {
        throw new AppError("invalid-request", "give either devices or query");
      }
      const items = await commands.send(
        tenantOf(request),
        {
          ...(devices ? { deviceIds: devices } : { query: query ?? "" }),
          name,
          args: args ?? {},
          ttlSeconds: ttlSeconds ?? DEFAULT_TTL_SECONDS,
        },
        actorOf(request),
        request.traceparent,
      );
      return reply.code(201).send({ items });
    },
  );

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
}
