import {
  Alert,
  Button,
  Group,
  Modal,
  Select,
  Stack,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconAlertTriangle, IconPlugConnected } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import {
  type ApplicationCertificate,
  api,
  applicationsQuery,
  type IssuedApplication,
  TENANT_ROLES,
  type TenantRole,
} from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { SettingsList } from "./secret-list.tsx";

const LIFETIMES = [
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "A year" },
];
const STATES = {
  active: { tone: "ok", label: "Valid" },
  expired: { tone: "late", label: "Expired" },
  revoked: { tone: "bad", label: "Revoked" },
} as const;

/** Certificates by which the tenant's programs connect by MQTT. */
export function Applications() {
  const tenant = useTenantId();
  const may = useMay();
  const pages = useCursors(tenant);
  const list = useQuery(applicationsQuery(tenant, pages.cursor));
  const [issuing, setIssuing] = useState(false);
  const [revoking, setRevoking] = useState<ApplicationCertificate>();
  const revoke = useAction({
    run: (item: ApplicationCertificate) => api.revokeApplication(tenant, item.serial),
    done: (_, item) => `The certificate of ${item.name} is revoked`,
    refresh: ["tenant", tenant, "applications"],
    onDone: () => setRevoking(undefined),
  });
  return (
    <SettingsList
      explanation="Your own programs connect by MQTT on the devices' port with a certificate: they hear the devices' messages and send commands, as far as the role goes."
      addLabel="New certificate"
      onAdd={may("administer") ? () => setIssuing(true) : undefined}
    >
      <Loaded query={list}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <EmptyState icon={IconPlugConnected} title="No application yet">
              The first one takes your telemetry to where it is needed, perhaps.
            </EmptyState>
          ) : (
            <>
              <DataTable
                caption="Certificates of applications"
                rows={items}
                rowId={(item) => item.serial}
                columns={[
                  {
                    id: "name",
                    header: "Application",
                    cell: (item) => (
                      <Text size="sm" fw={550}>
                        {item.name}
                      </Text>
                    ),
                  },
                  { id: "role", header: "Role", cell: (item) => item.role },
                  {
                    id: "state",
                    header: "State",
                    cell: (item) => <ToneBadge {...STATES[item.status]} />,
                  },
                  {
                    id: "used",
                    header: "Last used",
                    visibleFrom: "sm",
                    cell: (item) => <TimeAgo time={item.lastUsedAt} fallback="never" />,
                  },
                  {
                    id: "until",
                    header: "Until",
                    visibleFrom: "md",
                    cell: (item) => <TimeAgo time={item.notAfter} />,
                  },
                  {
                    id: "actions",
                    header: "",
                    align: "right",
                    cell: (item) =>
                      item.status === "active" && may("administer") ? (
                        <Button
                          size="compact-sm"
                          variant="light"
                          color="red"
                          onClick={() => setRevoking(item)}
                        >
                          Revoke
                        </Button>
                      ) : null,
                  },
                ]}
              />
              <CursorPager
                pages={pages}
                nextCursor={nextCursor}
                summary={`${items.length} on this page`}
              />
            </>
          )
        }
      </Loaded>
      {issuing && <NewApplication onClose={() => setIssuing(false)} />}
      <Confirm
        opened={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        title={`Revoke the certificate of ${revoking?.name ?? ""}?`}
        confirmLabel="Revoke the certificate"
        destructive
        busy={revoke.isPending}
        onConfirm={() => revoking && revoke.mutate(revoking)}
      >
        <Text size="sm">Its connections end within seconds. This cannot be undone.</Text>
      </Confirm>
    </SettingsList>
  );
}

function NewApplication({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: { name: "", role: "viewer", days: "90", csr: "" },
    validate: {
      name: (name) =>
        /^[a-z0-9][a-z0-9-]{0,62}$/.test(name) ? null : "Lower-case letters, digits, hyphens",
    },
  });
  const issue = useAction({
    run: ({ name, role, days, csr }: typeof form.values) =>
      api.issueApplication(tenant, {
        name,
        role: role as TenantRole,
        lifetimeHours: Number(days) * 24,
        ...(csr.trim() ? { csr } : {}),
      }),
    refresh: ["tenant", tenant, "applications"],
  });
  const { data } = issue;
  return (
    <Modal opened onClose={onClose} title="New certificate" closeOnClickOutside={!data}>
      {data ? (
        <Issued issued={data} onClose={onClose} />
      ) : (
        <form onSubmit={form.onSubmit((values) => issue.mutate(values))}>
          <Stack>
            <TextInput label="Application" data-autofocus {...form.getInputProps("name")} />
            <Select
              label="Role"
              description="A viewer hears; an operator sends commands, too"
              data={[...TENANT_ROLES]}
              allowDeselect={false}
              {...form.getInputProps("role")}
            />
            <Select
              label="Lifetime"
              data={LIFETIMES}
              allowDeselect={false}
              {...form.getInputProps("days")}
            />
            <Textarea
              label="Certificate request"
              description="PKCS#10 in PEM; without it a key is made and shown once"
              autosize
              minRows={2}
              maxRows={8}
              {...form.getInputProps("csr")}
            />
            <Button type="submit" loading={issue.isPending}>
              Issue the certificate
            </Button>
          </Stack>
        </form>
      )}
    </Modal>
  );
}

function Issued({ issued, onClose }: { issued: IssuedApplication; onClose: () => void }) {
  const files = [
    { label: "Certificate", name: `${issued.name}.crt`, text: issued.chainPem },
    ...(issued.keyPem ? [{ label: "Key", name: `${issued.name}.key`, text: issued.keyPem }] : []),
    { label: "Roots to trust", name: `${issued.name}.ca.crt`, text: issued.rootsPem },
  ];
  return (
    <Stack>
      {issued.keyPem && (
        <Alert color="amber" icon={<IconAlertTriangle aria-hidden />}>
          Save the key now: it is given this once and kept nowhere.
        </Alert>
      )}
      <Group>
        {files.map((file) => (
          <Button
            key={file.name}
            component="a"
            variant="default"
            href={`data:application/x-pem-file,${encodeURIComponent(file.text)}`}
            download={file.name}
          >
            {file.label}
          </Button>
        ))}
      </Group>
      <Group justify="flex-end">
        <Button onClick={onClose}>I have them</Button>
      </Group>
    </Stack>
  );
}
