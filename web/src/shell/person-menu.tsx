import {
  Group,
  Menu,
  Text,
  UnstyledButton,
  useMantineColorScheme,
  VisuallyHidden,
} from "@mantine/core";
import {
  IconBrightness,
  IconCheck,
  IconDotsVertical,
  IconLogout,
  IconMoon,
  IconSun,
  IconUserCircle,
} from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { api } from "../api/index.ts";
import { useAction } from "../components/use-action.ts";
import { useSession, useTenantId } from "./use-tenant.ts";

const SCHEMES = [
  { value: "auto", label: "As the system", icon: IconBrightness },
  { value: "light", label: "Light", icon: IconSun },
  { value: "dark", label: "Dark", icon: IconMoon },
] as const;

/** Who is signed in, how the page looks, and the way out. */
export function PersonMenu() {
  const { actor, platformRole } = useSession();
  const tenant = useTenantId();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const client = useQueryClient();
  const navigate = useNavigate();
  const signOut = useAction({
    run: async () => {
      // Asked first: once the session is over, nobody knows which provider it came from.
      const { url } = await api.providerSignOut();
      await api.signOut();
      return url;
    },
    onDone: (url) => {
      client.clear();
      if (url) window.location.assign(url);
      else void navigate({ to: "/sign-in" });
    },
  });
  return (
    <Menu width={216} position="top-start">
      <Menu.Target>
        <UnstyledButton px={10} py={8} style={{ borderTop: "1px solid var(--vautn-line)" }}>
          <Group gap={9} wrap="nowrap">
            <div style={{ flex: 1, minWidth: 0 }}>
              <Text size="sm" fw={550} truncate>
                {actor.name}
              </Text>
              {platformRole && (
                <Text size="xs" c="dimmed" truncate>
                  {platformRole.replaceAll("-", " ")}
                </Text>
              )}
            </div>
            <IconDotsVertical size={16} aria-hidden />
            <VisuallyHidden>Appearance and signing out</VisuallyHidden>
          </Group>
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          component={Link}
          to={`/t/${tenant}/account`}
          leftSection={<IconUserCircle size={15} aria-hidden />}
        >
          Your account
        </Menu.Item>
        <Menu.Divider />
        <Menu.Label>Appearance</Menu.Label>
        {SCHEMES.map(({ value, label, icon: Icon }) => (
          <Menu.Item
            key={value}
            leftSection={<Icon size={15} aria-hidden />}
            rightSection={colorScheme === value ? <IconCheck size={14} aria-hidden /> : undefined}
            onClick={() => setColorScheme(value)}
          >
            {label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item
          leftSection={<IconLogout size={15} aria-hidden />}
          onClick={() => signOut.mutate()}
        >
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
