import { Alert, Badge, Button, Group, Stack, Text } from "@mantine/core";
import { IconDeviceMobile, IconFingerprint } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, ownFactorsQuery } from "../../api/index.ts";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { AppDialog, CodeDialog, RecoveryCodes } from "./code-dialogs.tsx";
import { PasskeyDialog } from "./passkey-dialog.tsx";

type Dialog = "app" | "passkey" | "remove-app" | "renew-codes" | undefined;

/** What a person shows besides the password, or in its place. */
export function FactorsPanel() {
  const factors = useQuery(ownFactorsQuery);
  const [dialog, setDialog] = useState<Dialog>();
  const close = () => setDialog(undefined);
  const [codes, setCodes] = useState<readonly string[]>();
  const removePasskey = useAction({
    run: (id: string) => api.removePasskey(id),
    done: () => "The passkey is removed",
    refresh: ownFactorsQuery.queryKey,
  });
  return (
    <Panel title="Second factors and passkeys">
      <Loaded query={factors}>
        {({ totp, recoveryCodesLeft, passkeys, isRequired }) => (
          <Stack>
            {isRequired && !totp && passkeys.length === 0 && (
              <Alert color="amber">
                This platform asks you for a second factor. Set one of the two up to go on.
              </Alert>
            )}
            <Group justify="space-between" align="flex-start">
              <Group align="flex-start" wrap="nowrap">
                <IconDeviceMobile size={20} aria-hidden />
                <div>
                  <Group gap="xs">
                    <Text fw={550}>Authenticator app</Text>
                    <Badge size="sm" variant="light" color={totp ? "moss" : "gray"}>
                      {totp ? "On" : "Off"}
                    </Badge>
                  </Group>
                  <Text size="sm" c="dimmed">
                    {totp
                      ? `A code from your phone is asked for after the password. ${recoveryCodesLeft} recovery codes are left.`
                      : "A code from your phone, asked for after the password."}
                  </Text>
                </div>
              </Group>
              {totp ? (
                <Group gap="xs">
                  <Button variant="default" onClick={() => setDialog("renew-codes")}>
                    New recovery codes
                  </Button>
                  <Button variant="light" color="red" onClick={() => setDialog("remove-app")}>
                    Remove
                  </Button>
                </Group>
              ) : (
                <Button onClick={() => setDialog("app")}>Set up</Button>
              )}
            </Group>
            <Group justify="space-between" align="flex-start">
              <Group align="flex-start" wrap="nowrap">
                <IconFingerprint size={20} aria-hidden />
                <div>
                  <Text fw={550}>Passkeys</Text>
                  <Text size="sm" c="dimmed">
                    Sign in with your finger, face or PIN, without a password.
                  </Text>
                </div>
              </Group>
              <Button onClick={() => setDialog("passkey")}>Add a passkey</Button>
            </Group>
            {passkeys.map((passkey) => (
              <Group key={passkey.id} justify="space-between" pl={36}>
                <div>
                  <Text size="sm" fw={550}>
                    {passkey.name}
                  </Text>
                  <Text size="xs" c="dimmed" component="div">
                    last used <TimeAgo time={passkey.lastUsedAt} fallback="never" />
                  </Text>
                </div>
                <Button
                  size="compact-sm"
                  variant="light"
                  color="red"
                  loading={removePasskey.isPending && removePasskey.variables === passkey.id}
                  onClick={() => removePasskey.mutate(passkey.id)}
                  aria-label={`Remove the passkey ${passkey.name}`}
                >
                  Remove
                </Button>
              </Group>
            ))}
          </Stack>
        )}
      </Loaded>
      {dialog === "app" && <AppDialog onClose={close} onCodes={setCodes} />}
      {dialog === "passkey" && <PasskeyDialog onClose={close} />}
      {dialog === "remove-app" && (
        <CodeDialog
          title="Remove the authenticator app?"
          label="Remove it"
          run={(code) => api.removeTotp(code)}
          done="The password alone is enough again"
          onClose={close}
        />
      )}
      {dialog === "renew-codes" && (
        <CodeDialog
          title="New recovery codes"
          label="Make new ones"
          run={async (code) => setCodes((await api.renewRecoveryCodes(code)).recoveryCodes)}
          onClose={close}
        />
      )}
      {codes && <RecoveryCodes codes={codes} onClose={() => setCodes(undefined)} />}
    </Panel>
  );
}
