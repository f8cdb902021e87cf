import { Group, Menu, Text, TextInput, UnstyledButton } from "@mantine/core";
import { IconBuilding, IconCheck, IconPlus, IconSearch, IconSelector } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { NewTenantDialog } from "./new-tenant.tsx";
import { useIsPlatformAdministrator, useSession, useTenantId } from "./use-tenant.ts";

const SEARCH_FROM = 8;
const SHOWN_AT_MOST = 50;

/** Which tenant one looks at, and the way to another. */
export function TenantSwitcher() {
  const current = useTenantId();
  const { tenants } = useSession();
  const isAdministrator = useIsPlatformAdministrator();
  const navigate = useNavigate();
  const [words, setWords] = useState("");
  const [creating, setCreating] = useState(false);
  const shown = tenants
    .filter(({ id, name }) => `${id} ${name}`.toLowerCase().includes(words.toLowerCase()))
    .slice(0, SHOWN_AT_MOST);
  const name = tenants.find(({ id }) => id === current)?.name ?? current;

  return (
    <>
      <Menu width={232} position="bottom-start" onClose={() => setWords("")}>
        <Menu.Target>
          <UnstyledButton
            aria-label={`Tenant ${name}. Switch tenant`}
            px={10}
            py={8}
            style={{ border: "1px solid var(--vautn-line)", borderRadius: 8 }}
          >
            <Group gap={9} wrap="nowrap">
              <IconBuilding size={17} stroke={1.7} aria-hidden />
              <Text size="sm" fw={600} flex={1} truncate>
                {name}
              </Text>
              <IconSelector size={15} aria-hidden />
            </Group>
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown mah={420} style={{ overflowY: "auto" }}>
          {tenants.length >= SEARCH_FROM && (
            <TextInput
              size="xs"
              m={4}
              placeholder="Find a tenant"
              aria-label="Find a tenant"
              leftSection={<IconSearch size={13} aria-hidden />}
              value={words}
              onChange={(event) => setWords(event.currentTarget.value)}
            />
          )}
          <Menu.Label>Tenants</Menu.Label>
          {shown.map((tenant) => (
            <Menu.Item
              key={tenant.id}
              rightSection={tenant.id === current ? <IconCheck size={15} aria-hidden /> : undefined}
              onClick={() =>
                void navigate({ to: "/t/$tenant/fleet", params: { tenant: tenant.id } })
              }
            >
              <Text size="sm">{tenant.name}</Text>
              <Text size="xs" c="dimmed">
                {tenant.id}
                {tenant.role ? ` · ${tenant.role}` : ""}
              </Text>
            </Menu.Item>
          ))}
          {isAdministrator && (
            <>
              <Menu.Divider />
              <Menu.Item
                leftSection={<IconPlus size={15} aria-hidden />}
                onClick={() => setCreating(true)}
              >
                New tenant
              </Menu.Item>
            </>
          )}
        </Menu.Dropdown>
      </Menu>
      <NewTenantDialog opened={creating} onClose={() => setCreating(false)} />
    </>
  );
}
