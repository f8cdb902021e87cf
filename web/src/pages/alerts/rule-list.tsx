import { Button, Group, Modal, Select, Stack, Text, UnstyledButton } from "@mantine/core";
import { IconListCheck } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { stringify } from "yaml";
import {
  type AlertRulePreview,
  type AlertRuleSpec,
  type AlertRuleView,
  alertRulesQuery,
  api,
} from "../../api/index.ts";
import { SeverityBadge, ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { YamlEditor } from "../../components/yaml-editor.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";
import { SettingsList } from "../settings/secret-list.tsx";
import { RULE_TEMPLATES } from "./rule-templates.ts";

const TONES: Record<AlertRuleView["state"], Tone> = {
  firing: "bad",
  pending: "late",
  inactive: "ok",
  disabled: "idle",
  failing: "late",
};

/** What raises alerts by the tenant's own word. */
export function RuleList() {
  const tenant = useTenantId();
  const may = useMay();
  const rules = useQuery(alertRulesQuery(tenant));
  const [editing, setEditing] = useState<AlertRuleView | "new">();
  const [deleting, setDeleting] = useState<AlertRuleView>();
  const remove = useAction({
    run: (rule: AlertRuleView) => api.deleteAlertRule(tenant, rule.id),
    done: () => "The rule is deleted",
    refresh: ["tenant", tenant, "alerts"],
    onDone: () => setDeleting(undefined),
  });
  return (
    <SettingsList
      explanation="A rule looks at devices, measurements, log lines, rollouts, certificates, quotas or the platform again and again. Many devices at once are one alert."
      addLabel="New rule"
      onAdd={may("engineer") ? () => setEditing("new") : undefined}
    >
      <Loaded query={rules}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconListCheck} title="No rule yet">
              Silence, restarts, anomalies and paused rollouts raise alerts without one. For
              everything else, begin with a template.
            </EmptyState>
          ) : (
            <DataTable
              caption="Alert rules"
              rows={items}
              rowId={(rule) => rule.id}
              columns={[
                {
                  id: "name",
                  header: "Rule",
                  cell: (rule) => (
                    <>
                      <UnstyledButton onClick={() => setEditing(rule)}>
                        <Text size="sm" fw={550} component="span">
                          {rule.spec.name}
                        </Text>
                      </UnstyledButton>
                      <Text size="xs" c={rule.lastError ? "ember" : "dimmed"}>
                        {rule.lastError ?? rule.spec.description ?? `on ${rule.spec.source.kind}`}
                      </Text>
                    </>
                  ),
                },
                {
                  id: "severity",
                  header: "Severity",
                  visibleFrom: "sm",
                  cell: ({ spec }) => <SeverityBadge severity={spec.severity} />,
                },
                {
                  id: "state",
                  header: "State",
                  cell: ({ state, firing }) => (
                    <ToneBadge
                      tone={TONES[state]}
                      label={state === "firing" && firing > 1 ? `firing (${firing})` : state}
                    />
                  ),
                },
                {
                  id: "evaluated",
                  header: "Evaluated",
                  visibleFrom: "md",
                  cell: ({ evaluatedAt }) => <TimeAgo time={evaluatedAt} />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (rule) =>
                    may("engineer") ? (
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setDeleting(rule)}
                      >
                        Delete
                      </Button>
                    ) : null,
                },
              ]}
            />
          )
        }
      </Loaded>
      {editing && <RuleEditor rule={editing} onClose={() => setEditing(undefined)} />}
      <Confirm
        opened={deleting !== undefined}
        onClose={() => setDeleting(undefined)}
        title="Delete the rule?"
        confirmLabel="Delete the rule"
        destructive
        busy={remove.isPending}
        onConfirm={() => deleting && remove.mutate(deleting)}
      >
        <Text size="sm">Alerts that {deleting?.spec.name} has raised are resolved with it.</Text>
      </Confirm>
    </SettingsList>
  );
}

function RuleEditor({ rule, onClose }: { rule: AlertRuleView | "new"; onClose: () => void }) {
  const tenant = useTenantId();
  const client = useQueryClient();
  const [template, setTemplate] = useState(RULE_TEMPLATES[0]?.label ?? "");
  const chosen = RULE_TEMPLATES.find(({ label }) => label === template);
  const isNew = rule === "new";
  const save = async (spec: AlertRuleSpec) => {
    if (isNew) await api.createAlertRule(tenant, spec);
    else await api.replaceAlertRule(tenant, rule.id, spec);
    await client.invalidateQueries({ queryKey: ["tenant", tenant, "alerts"] });
    onClose();
  };
  return (
    <Modal opened size="xl" onClose={onClose} title={isNew ? "New rule" : rule.spec.name}>
      <Stack>
        {isNew && (
          <Select
            label="Begin with"
            data={RULE_TEMPLATES.map(({ label }) => label)}
            value={template}
            allowDeselect={false}
            onChange={(next) => setTemplate(next ?? template)}
          />
        )}
        <YamlEditor<AlertRuleSpec>
          key={template}
          label="The rule, as YAML"
          initial={isNew ? (chosen?.text ?? "") : stringify(rule.spec)}
          saveLabel={isNew ? "Make the rule" : "Change the rule"}
          onSave={save}
          onTry={async (spec) => <Preview preview={await api.previewAlertRule(tenant, spec)} />}
        />
      </Stack>
    </Modal>
  );
}

function Preview({ preview }: { preview: AlertRulePreview }) {
  const { samples, holding, isCollapsed, items } = preview;
  const holds = items.filter((item) => item.holds).slice(0, 10);
  return (
    <Stack gap={4}>
      <Text size="sm" fw={550}>
        {holding} of {samples} fulfil the condition now
        {isCollapsed && ": one alert would speak for all of them"}
      </Text>
      {holds.map(({ key, value }) => (
        <Group key={key} justify="space-between">
          <Text size="sm">{key || "the fleet"}</Text>
          <Text size="sm" c="dimmed">
            {Number(value.toPrecision(4))}
          </Text>
        </Group>
      ))}
    </Stack>
  );
}
