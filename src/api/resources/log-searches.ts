import { Type } from "typebox";
import { actorOf, tenantOf } from "../access.ts";
import {
  answers,
  listOf,
  Name,
  NoContent,
  strict,
  TenantId,
  TenantParams,
  Timestamp,
  view,
} from "../schemas/common.ts";
import type { Api } from "../types.ts";
import { FilterQuery } from "./log-filter.ts";

interface NamedSearch {
  name: string;
  filter: Readonly<Record<string, string | number>>;
}

type KeptSearch = NamedSearch & { updatedAt: string; updatedBy: string };

export interface LogSearchesDeps {
  savedSearches: {
    list(tenantId: string): Promise<KeptSearch[]>;
    create(tenantId: string, search: NamedSearch, actor: { name: string }): Promise<KeptSearch>;
    replace(tenantId: string, search: NamedSearch, actor: { name: string }): Promise<KeptSearch>;
    delete(tenantId: string, name: string): Promise<void>;
  };
}

const tags = ["logs"];
const SEARCHES = "/tenants/:tenant/log-searches";
const SEARCH = "/tenants/:tenant/log-searches/:search";
const SearchParams = strict({ tenant: TenantId, search: Name });
const MAX_RANGE_SECONDS = 10 * 366 * 86_400;

const SavedFilter = strict(
  {
    ...FilterQuery,
    rangeSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_RANGE_SECONDS,
        description: "How far back from the moment of the question; any time where left out",
      }),
    ),
  },
  { title: "LogSearchFilter", description: "What `searchLogs` takes, without fixed times" },
);
const SavedSearchView = view("LogSearch", {
  name: Type.String(),
  filter: SavedFilter,
  updatedAt: Timestamp,
  updatedBy: Type.String(),
});

/** Searches kept by name: everybody of the tenant sees them, whoever may change groups changes them. */
export function logSearchRoutes(api: Api, { savedSearches }: LogSearchesDeps): void {
  api.get(
    SEARCHES,
    {
      config: { access: "logs.read" },
      schema: {
        operationId: "listLogSearches",
        tags,
        params: TenantParams,
        response: answers(200, listOf("LogSearchList", SavedSearchView)),
      },
    },
    async (request) => ({ items: await savedSearches.list(tenantOf(request)) }),
  );

  api.post(
    SEARCHES,
    {
      config: { access: "devices.write", action: "log-search.create", recordsDone: true },
      schema: {
        operationId: "createLogSearch",
        tags,
        params: TenantParams,
        body: strict({ name: Name, filter: SavedFilter }),
        response: answers(201, SavedSearchView),
      },
    },
    async (request, reply) => {
      request.auditTargetId = request.body.name;
      const actor = actorOf(request);
      const kept = await savedSearches.create(tenantOf(request), request.body, actor);
      return reply.code(201).send(kept);
    },
  );

  api.put(
    SEARCH,
    {
      config: { access: "devices.write", action: "log-search.update", recordsDone: true },
      schema: {
        operationId: "replaceLogSearch",
        tags,
        params: SearchParams,
        body: strict({ filter: SavedFilter }),
        response: answers(200, SavedSearchView),
      },
    },
    async (request) => {
      const search = { name: request.params.search, filter: request.body.filter };
      return savedSearches.replace(tenantOf(request), search, actorOf(request));
    },
  );

  api.delete(
    SEARCH,
    {
      config: { access: "devices.write", action: "log-search.delete", recordsDone: true },
      schema: {
        operationId: "deleteLogSearch",
        tags,
        params: SearchParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await savedSearches.delete(tenantOf(request), request.params.search);
      return reply.code(204).send();
    },
  );
}
