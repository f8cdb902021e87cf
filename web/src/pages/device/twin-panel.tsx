import { Badge, Button, Code, Group, JsonInput, SimpleGrid, Stack, Text } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconArrowsExchange } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type TwinView, twinQuery } from "../../api/index.ts";
import { FormButtons } from "../../components/form-buttons.tsx";
import { Panel } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

/** What the device ought to be beside what it says that it is. */
export function TwinPanel({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const twin = useQuery(twinQuery(tenant, deviceId));
  const [isEdited, setEdited] = useState(false);
  const edit = () => setEdited(true);
  return (
    <Loaded query={twin}>
      {(view) => {
        if (isEdited) {
          const close = () => setEdited(false);
          return <Editor deviceId={deviceId} twin={view} onClose={close} />;
        }
        const isEmpty = view.desiredVersion === 0 && view.reportedVersion === 0;
        return isEmpty ? (
          <EmptyState icon={IconArrowsExchange} title="Nothing is desired, nothing is reported">
            Properties that are set here reach the device whenever it is connected, and stay until
            it is what it ought to be.
            <br />
            <Button mt="md" onClick={edit}>
              Set properties
            </Button>
          </EmptyState>
        ) : (
          <Documents twin={view} onEdit={edit} />
        );
      }}
    </Loaded>
  );
}

function Documents({ twin, onEdit }: { twin: TwinView; onEdit: () => void }) {
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
      <Panel
        title="Desired"
        actions={
          <Button size="xs" variant="default" onClick={onEdit}>
            Change
          </Button>
        }
      >
        <Stack gap="xs">
          <Group gap="xs">
            <Text size="sm" c="dimmed">
              Version {twin.desiredVersion}
              {twin.desiredAt && (
                <>
                  {" · "}
                  <TimeAgo time={twin.desiredAt} /> by {twin.desiredBy}
                </>
              )}
            </Text>
            <Standing twin={twin} />
          </Group>
          {twin.fault && (
            <Text size="sm" c="var(--vautn-bad-text)">
              Version {twin.fault.version} could not be: {twin.fault.message}
            </Text>
          )}
          <Document value={twin.desired} />
        </Stack>
      </Panel>
      <Panel title="Reported">
        <Stack gap="xs">
          <Text size="sm" c="dimmed">
            Lives by version {twin.appliedVersion}
            {twin.reportedAt && (
              <>
                {" · told "}
                <TimeAgo time={twin.reportedAt} />
              </>
            )}
          </Text>
          <Document value={twin.reported} />
        </Stack>
      </Panel>
    </SimpleGrid>
  );
}

function Standing({ twin }: { twin: TwinView }) {
  const { desiredVersion, appliedVersion, fault } = twin;
  if (desiredVersion === 0) return null;
  const isFaulty = fault?.version === desiredVersion;
  const [color, text] =
    appliedVersion === desiredVersion
      ? ["green", "in force"]
      : isFaulty
        ? ["red", "refused by the device"]
        : ["yellow", "on its way"];
  return (
    <Badge radius="sm" tt="none" variant="light" color={color}>
      {text}
    </Badge>
  );
}

function Document({ value }: { value: unknown }) {
  return (
    <Code block tabIndex={0} style={{ overflowX: "auto", maxHeight: "60vh" }}>
      {JSON.stringify(value, null, 2)}
    </Code>
  );
}

interface EditorProps {
  deviceId: string;
  twin: TwinView;
  onClose: () => void;
}

/** The whole document; says so where somebody else has changed it meanwhile. */
function Editor({ deviceId, twin, onClose }: EditorProps) {
  const tenant = useTenantId();
  const [started] = useState(twin.desiredVersion);
  const form = useForm({
    initialValues: { desired: JSON.stringify(twin.desired, null, 2) },
    validate: { desired: (text) => (isObject(text) ? null : "This is no JSON object") },
  });
  const save = useAction({
    run: ({ desired }: typeof form.values) =>
      api.replaceTwin(tenant, deviceId, JSON.parse(desired)),
    refresh: ["tenant", tenant, "device", deviceId],
    done: ({ desiredVersion }) => `Version ${desiredVersion} is desired`,
    onDone: onClose,
  });
  return (
    <Panel title="What the device ought to be">
      <form onSubmit={form.onSubmit((values) => save.mutate(values))}>
        <Stack>
          {started !== twin.desiredVersion && (
            <Text size="sm" c="var(--vautn-bad-text)">
              Version {twin.desiredVersion} has come meanwhile: saving replaces it.
            </Text>
          )}
          <JsonInput
            aria-label="Desired properties"
            formatOnBlur
            autosize
            minRows={8}
            maxRows={30}
            classNames={{ input: "mono" }}
            {...form.getInputProps("desired")}
          />
          <FormButtons label="Save" busy={save.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Panel>
  );
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
