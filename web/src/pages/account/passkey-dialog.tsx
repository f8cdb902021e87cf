import { Button, Modal, Stack, Text, TextInput } from "@mantine/core";
import { startRegistration } from "@simplewebauthn/browser";
import { useState } from "react";
import { api } from "../../api/index.ts";
import { useAction } from "../../components/use-action.ts";
import { deviceName } from "./names.ts";

/** Makes a passkey with what this computer or a key at it offers. */
export function PasskeyDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState(() => deviceName(navigator.userAgent));
  const add = useAction({
    run: async () => {
      const { options, challenge } = await api.beginPasskey();
      const response = await startRegistration({ optionsJSON: options as never });
      return api.addPasskey({ challenge, name: name.trim(), response: response as never });
    },
    done: () => "The passkey is added",
    refresh: ["account"],
    onDone: onClose,
  });
  return (
    <Modal opened onClose={onClose} title="Add a passkey">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate();
        }}
      >
        <Stack>
          <Text size="sm">
            Your browser asks for a finger, a face, a PIN or a security key in a moment.
          </Text>
          <TextInput
            label="Name"
            description="By which you know it again"
            maxLength={128}
            data-autofocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Button type="submit" disabled={!name.trim()} loading={add.isPending}>
            Go on
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}
