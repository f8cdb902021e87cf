import { Type } from "typebox";
import type { Commands } from "../../commands/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import {
  CommandBatchPage,
  CommandBatchView,
  CommandPage,
  CommandStatus,
} from "../schemas/commands.ts";
import { answers, PageQuery, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface CommandBatchDeps {
  commands: Pick<Commands, "batches">;
}

const tags = ["commands"];
const BatchParams = strict({ tenant: TenantId, batch: Uuid });

/** Commands to many devices: how far each batch has come, and its reins. */
export function commandBatchRoutes(api: Api, { commands }: CommandBatchDeps): void {
  api.get(
    "/tenants/:tenant/command-batches",
    {
      config: { access: "commands.read" },
      schema: {
        operationId: "listCommandBatches",
        tags,
        params: TenantParams,
        querystring: strict(PageQuery),
        response: answers(200, CommandBatchPage),
      },
    },
    async (request) => {
      const { cursor, limit } = request.query;
      const page = { limit, cursor: decodeCursor("command-batches", cursor) };
      return wrapPage("command-batches", await commands.batches.list(tenantOf(request), page));
    },
  );
  api.get(
    "/tenants/:tenant/command-batches/:batch",
    {
      config: { access: "commands.read" },
      schema: {
        operationId: "getCommandBatch",
        tags,
        params: BatchParams,
        response: answers(200, CommandBatchView),
      },
    },
    async (request) => commands.batches.get(tenantOf(request), request.params.batch),
  );
  api.get(
    "/tenants/:tenant/command-batches/:batch/devices",
    {
      config: { access: "commands.read" },
      schema: {
        operationId: "listCommandBatchDevices",
        description: "The last attempt of each device",
        tags,
        params: BatchParams,
        querystring: strict({ ...PageQuery, status: Type.Optional(CommandStatus) }),
        response: answers(200, CommandPage),
      },
    },
    async (request) => {
      const { status, cursor, limit } = request.query;
      const filter = { status, limit, cursor: decodeCursor("command-batch-devices", cursor) };
      const { batch } = request.params;
      const page = await commands.batches.devices(tenantOf(request), batch, filter);
      return wrapPage("command-batch-devices", page);
    },
  );
  for (const [verb, operationId, description] of [
    ["pause", "pauseCommandBatch", "Holds back what is not known to be delivered"],
    ["resume", "resumeCommandBatch", "Goes on, at the batch's pace"],
    ["cancel", "cancelCommandBatch", "Ends what is not known to be delivered"],
  ] as const) {
    api.post(
      `/tenants/:tenant/command-batches/:batch/${verb}`,
      {
        config: { access: "commands.send", action: `command-batch.${verb}` },
        schema: {
          operationId,
          description,
          tags,
          params: BatchParams,
          response: answers(200, CommandBatchView),
        },
      },
      async (request) =>
        commands.batches[verb](tenantOf(request), request.params.batch, actorOf(request)),
    );
  }
}
