import { Button, Group, NumberInput, SimpleGrid, Stack } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { api, type TenantSettings, type TenantView, tenantQuery } from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { Fact, Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useIsPlatformAdministrator, useMay, useTenantId } from "../../shell/use-tenant.ts";

type Name = keyof TenantSettings;

interface Field {
  name: Name;
  label: string;
  description: string;
  suffix?: string;
}

const DEVICES: readonly Field[] = [
  {
    name: "heartbeatIntervalSeconds",
    label: "Heartbeat",
    description: "How often a device says that it lives",
    suffix: " s",
  },
  {
    name: "offlineAfterMissed",
    label: "Offline after",
    description: "Heartbeats missed in a row",
    suffix: " heartbeats",
  },
  {
    name: "certificateLifetimeHours",
    label: "Certificates last",
    description: "Of newly issued ones",
    suffix: " hours",
  },
  {
    name: "certificateGraceDays",
    label: "Renewal after expiry",
    description: "With the expired certificate",
    suffix: " days",
  },
];
const RETENTION: readonly Field[] = [
  {
    name: "telemetryRetentionDays",
    label: "Telemetry is kept",
    description: "Measurements, heartbeats and events; by metric under Telemetry",
    suffix: " days",
  },
  {
    name: "minuteRollupRetentionDays",
    label: "Rollups by the minute",
    description: "At least as long; 0 is as long as telemetry",
    suffix: " days",
  },
  {
    name: "hourRollupRetentionDays",
    label: "Rollups by the hour",
    description: "0 is as long as those by the minute",
    suffix: " days",
  },
  {
    name: "dayRollupRetentionDays",
    label: "Rollups by the day",
    description: "0 is as long as those by the hour",
    suffix: " days",
  },
  {
    name: "logRetentionDays",
    label: "Logs are kept",
    description: "Log lines and traces",
    suffix: " days",
  },
  {
    name: "auditRetentionDays",
    label: "The audit log is kept",
    description: "At least 90 days; deleting is recorded in it",
    suffix: " days",
  },
];
const QUOTAS: readonly Field[] = [
  { name: "maxDevices", label: "Devices", description: "At most" },
  { name: "maxReleases", label: "Releases", description: "At most" },
  { name: "maxWebhooks", label: "Webhooks", description: "At most" },
];

/** What holds for the tenant as a whole. */
export function TenantSettingsForm() {
  const tenant = useTenantId();
  const loaded = useQuery(tenantQuery(tenant));
  return <Loaded query={loaded}>{(found) => <Form key={found.id} tenant={found} />}</Loaded>;
}

function Form({ tenant }: { tenant: TenantView }) {
  const mayChange = useMay()("administer");
  const isAdministrator = useIsPlatformAdministrator();
  const form = useForm<TenantSettings>({ initialValues: tenant.settings });
  const save = useAction({
    run: (settings: TenantSettings) => {
      // Only what was changed: a quota is not the tenant's own to send.
      const changed = Object.entries(settings).filter(
        ([name, value]) => value !== tenant.settings[name as Name],
      );
      return api.updateTenant(tenant.id, Object.fromEntries(changed));
    },
    done: () => "The settings are in force",
    refresh: ["tenant", tenant.id, "tenant"],
    onDone: ({ settings }) => form.resetDirty(settings),
  });
  const fields = (list: readonly Field[], mayEdit: boolean) => (
    <SimpleGrid cols={{ base: 1, sm: 2, lg: 4 }}>
      {list.map(({ name, label, description, suffix }) => (
        <NumberInput
          key={name}
          label={label}
          description={description}
          suffix={suffix ?? ""}
          thousandSeparator=" "
          allowDecimal={false}
          allowNegative={false}
          readOnly={!mayEdit}
          variant={mayEdit ? "default" : "filled"}
          {...form.getInputProps(name)}
        />
      ))}
    </SimpleGrid>
  );
  return (
    <form onSubmit={form.onSubmit((values) => save.mutate(values))}>
      <Stack>
        <Panel title={tenant.name}>
          <Fact label="Id">
            <CopyText text={tenant.id} />
          </Fact>
          <Fact label="State">{tenant.status}</Fact>
          <Fact label="Storage">
            {tenant.storageClass === "separate"
              ? "series and artifacts in files of its own"
              : "shared with other tenants"}
          </Fact>
          <Fact label="Since">
            <TimeAgo time={tenant.createdAt} />
          </Fact>
        </Panel>
        <Panel title="Devices">{fields(DEVICES, mayChange)}</Panel>
        <Panel title="Retention">{fields(RETENTION, mayChange)}</Panel>
        <Panel title="Quotas, set by the platform's administrators">
          {fields(QUOTAS, isAdministrator)}
        </Panel>
        {mayChange && (
          <Group justify="flex-end">
            <Button variant="default" disabled={!form.isDirty()} onClick={() => form.reset()}>
              Undo
            </Button>
            <Button type="submit" disabled={!form.isDirty()} loading={save.isPending}>
              Save
            </Button>
          </Group>
        )}
      </Stack>
    </form>
  );
}
