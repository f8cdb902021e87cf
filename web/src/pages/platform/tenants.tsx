import { Box, Button, Group, Modal, NumberInput, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconBuilding } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, figuresQuery, type TenantView, tenantsQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { Link } from "../../components/link.tsx";
import { QuotaCards } from "../../components/quota-cards.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { NewTenantDialog } from "../../shell/new-tenant.tsx";
import { SettingsList } from "../settings/secret-list.tsx";

const DEFAULT_GRACE_HOURS = 168;
const MAX_GRACE_HOURS = 8_760;

/** Every tenant of the installation, its end and the way back. */
export function Tenants() {
  const tenants = useQuery(tenantsQuery);
  const [creating, { open, close }] = useDisclosure(false);
  const [ending, setEnding] = useState<TenantView>();
  const [seen, setSeen] = useState<TenantView>();
  const restore = useAction({
    run: (tenant: TenantView) => api.restoreTenant(tenant.id),
    done: (_, { id }) => `${id} is active again`,
    refresh: ["platform", "tenants"],
  });
  return (
    <SettingsList
      explanation="A tenant that is deleted is suspended at once: its devices are refused. Until its grace is over it can be restored; then everything goes, and a signed receipt says so (vautn tenant receipt ID)."
      addLabel="New tenant"
      onAdd={open}
    >
      <Loaded query={tenants}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconBuilding} title="No tenant yet">
              Devices, releases and people belong to one.
            </EmptyState>
          ) : (
            <DataTable
              caption="Tenants"
              rows={items}
              rowId={(tenant) => tenant.id}
              columns={[
                { id: "name", header: "Tenant", cell: (tenant) => <Name tenant={tenant} /> },
                { id: "state", header: "State", cell: (tenant) => <State tenant={tenant} /> },
                {
                  id: "storage",
                  header: "Storage",
                  visibleFrom: "md",
                  cell: (tenant) => <Storage tenant={tenant} />,
                },
                {
                  id: "created",
                  header: "Created",
                  visibleFrom: "sm",
                  cell: (tenant) => <TimeAgo time={tenant.createdAt} />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (tenant) => (
                    <Group gap={6} justify="flex-end" wrap="nowrap">
                      <Button size="compact-sm" variant="subtle" onClick={() => setSeen(tenant)}>
                        Use
                      </Button>
                      {tenant.deletesAt ? (
                        <Button
                          size="compact-sm"
                          variant="light"
                          loading={restore.isPending && restore.variables?.id === tenant.id}
                          onClick={() => restore.mutate(tenant)}
                        >
                          Restore
                        </Button>
                      ) : (
                        <Button
                          size="compact-sm"
                          variant="light"
                          color="red"
                          onClick={() => setEnding(tenant)}
                        >
                          Delete
                        </Button>
                      )}
                    </Group>
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
      <NewTenantDialog opened={creating} onClose={close} />
      {seen && <Figures tenant={seen} onClose={() => setSeen(undefined)} />}
      {ending && <DeleteTenant tenant={ending} onClose={() => setEnding(undefined)} />}
    </SettingsList>
  );
}

function Name({ tenant }: { tenant: TenantView }) {
  return (
    <>
      <Text size="sm" fw={550}>
        <Link to="/t/$tenant/fleet" params={{ tenant: tenant.id }}>
          {tenant.name}
        </Link>
      </Text>
      <Text size="xs" c="dimmed">
        {tenant.id}
      </Text>
      {/* Where there is no room for a column of its own. */}
      <Box hiddenFrom="md">
        <Storage tenant={tenant} isShort />
      </Box>
    </>
  );
}

function Figures({ tenant, onClose }: { tenant: TenantView; onClose: () => void }) {
  const figures = useQuery(figuresQuery(tenant.id));
  return (
    <Modal opened onClose={onClose} size="lg" title={`What ${tenant.name} uses today`}>
      <Loaded query={figures}>{({ items }) => <QuotaCards items={items} />}</Loaded>
    </Modal>
  );
}

/** Where its rows lie, and the way to have them elsewhere. */
function Storage({ tenant, isShort = false }: { tenant: TenantView; isShort?: boolean }) {
  const [asking, { open, close }] = useDisclosure(false);
  const isSeparate = tenant.storageClass === "separate";
  const to = isSeparate ? "shared" : "separate";
  const move = useAction({
    run: (_: null) => api.moveTenantStorage(tenant.id, to),
    done: () => `${tenant.id} is suspended until its files are moved`,
    refresh: ["platform", "tenants"],
    onDone: close,
  });
  const { storageMove } = tenant;
  const look = isShort ? { size: "xs", c: "dimmed" } : { size: "sm" };
  if (storageMove) {
    return <Text {...look}>{movedOf(storageMove)}</Text>;
  }
  return (
    <Group gap={6} wrap={isShort ? "nowrap" : "wrap"}>
      <Text {...look}>
        {isShort ? tenant.storageClass : isSeparate ? "files of its own" : "shared files"}
      </Text>
      {!tenant.deletesAt && (
        <Button size="compact-xs" variant="subtle" onClick={open}>
          Move
        </Button>
      )}
      <Confirm
        opened={asking}
        onClose={close}
        title={
          isSeparate
            ? `Move ${tenant.id} to the shared files?`
            : `Give ${tenant.id} files of its own?`
        }
        confirmLabel="Move its files"
        busy={move.isPending}
        onConfirm={() => move.mutate(null)}
      >
        Its telemetry, events, log lines, spans and artifacts are copied, counted and removed where
        they were. Until then it is suspended: devices are refused, keep what they measure and come
        back by themselves. Its registry, commands and audit log stay in the database of all.
      </Confirm>
    </Group>
  );
}

function movedOf({ done, of, copiedAt }: NonNullable<TenantView["storageMove"]>): string {
  if (copiedAt) return "moved: the old files go";
  return of === 0 ? "about to be moved" : `moving: ${done} of ${of} tables`;
}

function State({ tenant: { deletesAt, status, storageMove } }: { tenant: TenantView }) {
  if (deletesAt) {
    return (
      <Group gap={6}>
        <ToneBadge tone="bad" label="Being deleted" />
        <Text size="xs" c="dimmed">
          ends <TimeAgo time={deletesAt} />
        </Text>
      </Group>
    );
  }
  const isActive = status === "active";
  if (storageMove) return <ToneBadge tone="late" label="Being moved" />;
  return <ToneBadge tone={isActive ? "ok" : "late"} label={isActive ? "Active" : "Suspended"} />;
}

function DeleteTenant({ tenant, onClose }: { tenant: TenantView; onClose: () => void }) {
  const [typed, setTyped] = useState("");
  const [graceHours, setGraceHours] = useState<number | string>(DEFAULT_GRACE_HOURS);
  const remove = useAction({
    run: (_: null) => api.deleteTenant(tenant.id, typed, Number(graceHours)),
    done: () => `${tenant.id} is suspended and ends when its grace is over`,
    refresh: ["platform", "tenants"],
    onDone: onClose,
  });
  return (
    <Confirm
      opened
      onClose={onClose}
      title={`Delete ${tenant.name}?`}
      confirmLabel="Delete the tenant"
      destructive
      busy={remove.isPending}
      disabled={typed !== tenant.id || graceHours === ""}
      onConfirm={() => remove.mutate(null)}
    >
      <Stack>
        <Text size="sm">
          Its devices are refused from now on. When the grace is over everything of it is removed:
          devices, certificates, measurements, logs, releases, people&rsquo;s rights. What is to be
          kept, export it first.
        </Text>
        <NumberInput
          label="Grace"
          description="Until then it can be restored"
          suffix=" hours"
          min={0}
          max={MAX_GRACE_HOURS}
          allowDecimal={false}
          value={graceHours}
          onChange={setGraceHours}
        />
        <TextInput
          label={`Type ${tenant.id} to confirm`}
          autoComplete="off"
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
      </Stack>
    </Confirm>
  );
}
