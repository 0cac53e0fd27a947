"""The built-in methods, one file each, registered through the plugin door like anyone's."""
