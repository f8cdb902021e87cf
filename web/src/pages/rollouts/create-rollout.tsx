import {
  Button,
  Checkbox,
  Group,
  Modal,
  Radio,
  SegmentedControl,
  Select,
  Stack,
  Stepper,
  Text,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, type ReleaseView, type RolloutSpec, releasesQuery } from "../../api/index.ts";
import { formatBytes } from "../../components/format.ts";
import { ErrorState, ListSkeleton } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";
import { PlanPreview } from "./plan-preview.tsx";
import { POLICY_PRESETS } from "./policies.ts";
import { SpecFile } from "./spec-file.tsx";

interface CreateRolloutProps {
  releaseId: string | undefined;
  onClose: () => void;
}

/** What, to whom and how; then exactly which devices; only then does it begin. */
export function CreateRollout({ releaseId, onClose }: CreateRolloutProps) {
  const tenant = useTenantId();
  const navigate = useNavigate();
  const releases = useQuery(releasesQuery(tenant));
  const [spec, setSpec] = useState<RolloutSpec>();
  const [way, setWay] = useState<"form" | "file">("form");
  const plan = useMutation({
    mutationFn: (wanted: RolloutSpec) => api.planRollout(tenant, wanted),
  });
  const create = useAction({
    run: (wanted: RolloutSpec) => api.createRollout(tenant, wanted),
    done: (rollout) => `Rollout ${rollout.name} has begun`,
    refresh: ["tenant", tenant, "rollouts"],
    onDone: (rollout) => {
      onClose();
      void navigate({
        to: "/t/$tenant/rollouts/$rollout",
        params: { tenant, rollout: rollout.id },
      });
    },
  });
  const preview = (wanted: RolloutSpec) => {
    setSpec(wanted);
    plan.mutate(wanted);
  };
  const step = plan.data && spec ? 1 : 0;

  return (
    <Modal opened onClose={onClose} title="New rollout" size="xl">
      <Stepper active={step} size="xs" mb="lg">
        <Stepper.Step label="What and how" />
        <Stepper.Step label="Which devices" />
      </Stepper>
      {step === 1 && spec && plan.data ? (
        <Stack>
          <PlanPreview plan={plan.data} />
          <Group justify="space-between">
            <Button variant="default" onClick={() => plan.reset()}>
              Back
            </Button>
            <Button
              loading={create.isPending}
              disabled={plan.data.totalDevices === 0}
              onClick={() => create.mutate(spec)}
            >
              Start with {plan.data.stages[0]?.deviceIds.length ?? 0} of {plan.data.totalDevices}{" "}
              devices
            </Button>
          </Group>
        </Stack>
      ) : (
        <Stack>
          <SegmentedControl
            aria-label="How the rollout is described"
            data={[
              { value: "form", label: "By form" },
              { value: "file", label: "As a file" },
            ]}
            value={way}
            onChange={(chosen) => setWay(chosen as "form" | "file")}
          />
          {releases.data && way === "file" ? (
            <SpecFile
              releases={releases.data.items}
              initial={spec}
              releaseId={releaseId}
              onPreview={(wanted) => {
                setSpec(wanted);
                return plan.mutateAsync(wanted);
              }}
            />
          ) : releases.data ? (
            <SpecForm
              releases={releases.data.items.filter((release) => release.status === "published")}
              initial={spec}
              releaseId={releaseId}
              busy={plan.isPending}
              onPreview={preview}
            />
          ) : (
            <ListSkeleton rows={4} />
          )}
          {plan.error && way === "form" && (
            <ErrorState error={plan.error} title="This cannot be planned" />
          )}
        </Stack>
      )}
    </Modal>
  );
}

interface SpecFormProps {
  releases: ReleaseView[];
  initial: RolloutSpec | undefined;
  releaseId: string | undefined;
  busy: boolean;
  onPreview: (spec: RolloutSpec) => void;
}

function SpecForm({ releases, initial, releaseId, busy, onPreview }: SpecFormProps) {
  const form = useForm({
    initialValues: {
      name: initial?.name ?? "",
      releaseId: initial?.releaseId ?? releaseId ?? null,
      query: initial?.query ?? "",
      preset: "evidence",
      rollBack: initial?.policy?.onBreach === "rollback",
    },
    validate: { releaseId: (id) => (id ? null : "Choose a release") },
  });
  const chosen = releases.find((release) => release.id === form.values.releaseId);
  const submit = form.onSubmit((values) => {
    const preset = POLICY_PRESETS.find(({ id }) => id === values.preset);
    onPreview({
      name: values.name.trim() || `${chosen?.product} ${chosen?.version}`,
      releaseId: values.releaseId ?? "",
      query: values.query.trim(),
      policy: { ...preset?.policy, onBreach: values.rollBack ? "rollback" : "pause" },
    });
  });
  return (
    <form onSubmit={submit}>
      <Stack>
        <Select
          label="Release"
          placeholder={releases.length > 0 ? "Choose one" : "Publish a release first"}
          searchable
          data={releases.map((release) => ({
            value: release.id,
            label: `${release.product} ${release.version} (${formatBytes(release.imageSizeBytes)})`,
          }))}
          {...form.getInputProps("releaseId")}
        />
        <TextInput
          label="Name"
          placeholder={chosen ? `${chosen.product} ${chosen.version}` : "As the release"}
          {...form.getInputProps("name")}
        />
        <TextInput
          label="Devices"
          description="A fleet query; empty means every device that the release fits"
          placeholder='region = "eu-west" and not tags.ring = "internal"'
          classNames={{ input: "mono" }}
          spellCheck={false}
          {...form.getInputProps("query")}
        />
        <Radio.Group label="How it widens" {...form.getInputProps("preset")}>
          <Stack gap="xs" mt="xs">
            {POLICY_PRESETS.map((preset) => (
              <Radio
                key={preset.id}
                value={preset.id}
                label={preset.name}
                description={preset.explanation}
              />
            ))}
          </Stack>
        </Radio.Group>
        <Checkbox
          label="Roll back by itself when the gate finds it bad"
          description="Otherwise it pauses and asks"
          {...form.getInputProps("rollBack", { type: "checkbox" })}
        />
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            Nothing begins before you have seen the devices.
          </Text>
          <Button type="submit" loading={busy}>
            Show the plan
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
