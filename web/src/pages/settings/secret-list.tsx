import { Alert, Button, Group, Modal, Paper, Stack, Text } from "@mantine/core";
import { IconAlertTriangle, IconPlus } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { CopyText } from "../../components/copy-text.tsx";

interface SettingsListProps {
  explanation: string;
  addLabel: string;
  /** Absent where the person may not. */
  onAdd?: (() => void) | undefined;
  second?: { label: string; onClick: () => void };
  children: ReactNode;
}

/** The frame of each list on the settings page. */
export function SettingsList({
  explanation,
  addLabel,
  onAdd,
  second,
  children,
}: SettingsListProps) {
  return (
    <Stack>
      <Group justify="space-between" align="flex-start">
        <Text size="sm" c="dimmed" maw={640}>
          {explanation}
        </Text>
        <Group gap="xs">
          {second && (
            <Button variant="default" onClick={second.onClick}>
              {second.label}
            </Button>
          )}
          {onAdd && (
            <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={onAdd}>
              {addLabel}
            </Button>
          )}
        </Group>
      </Group>
      <Paper style={{ overflow: "hidden" }}>{children}</Paper>
    </Stack>
  );
}

interface CreateDialogProps {
  opened: boolean;
  title: string;
  /** What was created, shown this once. */
  secret: string | undefined;
  onClose: () => void;
  children: ReactNode;
}

/** A form, and after it the secret that it made. */
export function CreateDialog({ opened, title, secret, onClose, children }: CreateDialogProps) {
  return (
    <Modal opened={opened} onClose={onClose} title={title} closeOnClickOutside={!secret}>
      {secret ? (
        <Stack>
          <Alert color="amber" icon={<IconAlertTriangle aria-hidden />}>
            Copy it now: it is shown this once and kept nowhere in the clear.
          </Alert>
          <Paper p="sm" style={{ overflowWrap: "anywhere" }}>
            <CopyText text={secret} />
          </Paper>
          <Group justify="flex-end">
            <Button onClick={onClose}>I have it</Button>
          </Group>
        </Stack>
      ) : (
        children
      )}
    </Modal>
  );
}
