import { MultiSelect, Select } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { groupsQuery, rolesQuery, TENANT_ROLES } from "../../api/index.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

/** Names of the built-in roles, and of the tenant's own once they are known. */
export function useRoleNames(): string[] {
  const { data } = useQuery(rolesQuery(useTenantId()));
  return data?.items.map(({ name }) => name) ?? [...TENANT_ROLES];
}

export interface RoleValues {
  role: string;
  groups: string[];
}

/** Which role, and over which devices. */
export function RoleFields<Values extends RoleValues>({
  form,
}: {
  form: UseFormReturnType<Values>;
}) {
  const groups = useQuery(groupsQuery(useTenantId()));
  return (
    <>
      <Select
        label="Role"
        data={useRoleNames()}
        allowDeselect={false}
        {...form.getInputProps("role")}
      />
      <MultiSelect
        label="Groups"
        description="Sees and acts on the devices of these groups alone; on all devices where empty"
        placeholder="All devices"
        data={groups.data?.items.map(({ name }) => name) ?? []}
        maxValues={20}
        searchable
        clearable
        nothingFoundMessage="No such group"
        {...form.getInputProps("groups")}
      />
    </>
  );
}

/** The body of a request: no groups are all devices. */
export function givenRole({ role, groups }: RoleValues) {
  return { role, ...(groups.length > 0 ? { groups } : {}) };
}
