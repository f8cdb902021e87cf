import { Button, Group } from "@mantine/core";

interface FormButtonsProps {
  /** What sending the form does, as a verb: "Save the role". */
  label: string;
  busy: boolean;
  disabled?: boolean;
  onClose: () => void;
}

/** The end of every form in a dialog. */
export function FormButtons({ label, busy, disabled = false, onClose }: FormButtonsProps) {
  return (
    <Group justify="flex-end">
      <Button variant="default" onClick={onClose}>
        Cancel
      </Button>
      <Button type="submit" loading={busy} disabled={disabled}>
        {label}
      </Button>
    </Group>
  );
}
