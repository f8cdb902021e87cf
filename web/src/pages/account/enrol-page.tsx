import { Button, Center, Group, Stack, Text, Title } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { api, ownFactorsQuery } from "../../api/index.ts";
import { useAction } from "../../components/use-action.ts";
import { Logo } from "../../shell/logo.tsx";
import { FactorsPanel } from "./factors-panel.tsx";

/** All that a session sees which has to set up a second factor first. */
export function EnrolPage() {
  useDocumentTitle("Set up a second factor · Vautn");
  const navigate = useNavigate();
  const client = useQueryClient();
  const { data } = useQuery(ownFactorsQuery);
  const isDone = data !== undefined && (data.totp !== null || data.passkeys.length > 0);
  const leave = (to: "/" | "/sign-in") => {
    client.clear();
    void navigate({ to });
  };
  const signOut = useAction({ run: () => api.signOut(), onDone: () => leave("/sign-in") });
  return (
    <Center component="main" mih="100vh" p="md">
      <Stack w="100%" maw={720}>
        <Group gap="sm">
          <Logo size={32} />
          <Title order={1} fz={22}>
            One more step
          </Title>
        </Group>
        <Text c="dimmed">
          This platform lets nobody in by a password alone. Set up one of these, then go on.
        </Text>
        <FactorsPanel />
        <Group justify="flex-end">
          <Button variant="default" onClick={() => signOut.mutate()}>
            Sign out
          </Button>
          <Button disabled={!isDone} onClick={() => leave("/")}>
            Go on
          </Button>
        </Group>
      </Stack>
    </Center>
  );
}
